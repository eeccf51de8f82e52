"""Medians, quartiles and ratios paired by round."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.bench import Spread, paired_ratio, summarise

seconds = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9)


def bare(spread):
    return replace(spread, interval=None)


def test_a_spread_by_hand():
    assert bare(summarise([5, 1, 4, 2, 3])) == Spread(3, 1, 5, 2, 4)
    assert summarise([5, 1, 4, 2, 3]).relative == pytest.approx(2 / 3)
    assert summarise([0.0, 0.0]).relative == 0


def test_ratios_are_paired_so_that_a_slow_round_cancels():
    assert paired_ratio([1, 10, 1], [2, 20, 2]) == Spread(2, 2, 2, 2, 2, (2, 2))
    assert bare(paired_ratio([1, 1, 1], [2, 4, 3])) == Spread(3, 2, 4, 2.5, 3.5)


def test_the_interval_is_that_of_scipys_bootstrap():
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).gamma(2, size=40)
    theirs = bootstrap(
        (values,), np.median, method="percentile", n_resamples=20000, random_state=2
    ).confidence_interval
    assert summarise(values).interval == pytest.approx(tuple(theirs), rel=0.05)


@given(seconds)
def test_a_spread_is_ordered(values):
    spread = summarise(values)
    assert spread.minimum <= spread.lower_quartile <= spread.median
    assert spread.median <= spread.upper_quartile <= spread.maximum


@given(seconds, st.floats(0.1, 10))
def test_a_constant_factor_is_found_again(values, factor):
    ratio = paired_ratio(values, [factor * value for value in values])
    assert (ratio.minimum, ratio.maximum) == pytest.approx((factor, factor))


def test_nothing_and_unequal_rounds_are_refused():
    with pytest.raises(ValueError, match="at least one measurement"):
        summarise([])
    with pytest.raises(ValueError):
        paired_ratio([1.0], [1.0, 2.0])
