"""Medians, ratios paired by round, intervals and paired comparisons, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from tersely.bench import Spread, paired_ratio, summarise
from tersely.text.metrics import compare, share_interval

SINGLE = "single_label_classification"


def test_a_spread_by_hand_and_ratios_paired_so_that_a_slow_round_cancels():
    spread = summarise([5, 1, 4, 2, 3])
    assert replace(spread, interval=None) == Spread(3, 1, 5, 2, 4)
    assert spread.relative == pytest.approx(2 / 3) and summarise([0.0, 0.0]).relative == 0
    assert paired_ratio([1, 10, 1], [2, 20, 2]) == Spread(2, 2, 2, 2, 2, (2, 2))


@given(st.integers(1, 400), st.floats(0, 1))
def test_the_interval_of_a_share_is_that_of_the_beta_distribution(documents, share):
    count = round(share * documents)
    low, high = share_interval(count, documents)
    rest = documents - count
    assert low == pytest.approx(beta.ppf(0.025, count, rest + 1) if count else 0)
    assert high == pytest.approx(beta.ppf(0.975, count + 1, rest) if rest else 1)


def test_the_comparison_counts_what_only_one_has_right():
    base = np.eye(2)[[0] * 8 + [1] * 4]
    found = compare(np.eye(2)[[0] * 7 + [1] * 5], base, [0] * 7 + [1] * 5, SINGLE)
    assert (found.better, found.worse) == (1, 0)
    labels = [1] * 12
    found = compare(np.eye(2)[[1] * 9 + [0] * 3], base, labels, SINGLE)
    assert (found.better, found.worse) == (8, 3)
    assert found.difference == pytest.approx(5 / 12)
    assert found.p_value == pytest.approx(2 * binom.cdf(3, 11, 0.5))
    assert found.interval[0] < 5 / 12 < found.interval[1]
    assert compare(base, base, labels, SINGLE).p_value == 1
