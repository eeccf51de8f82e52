"""Medians, ratios paired by round, intervals and paired comparisons, against others and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import accuracy_score, f1_score

from tersely.bench import Spread, compare, paired_ratio, quality_intervals, statistics, summarise
from tersely.text.metrics import calibration_error

SINGLE, SEVERAL = "single_label_classification", "multi_label_classification"

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


@given(seconds, st.floats(0.1, 10))
def test_a_constant_factor_is_found_again(values, factor):
    ratio = paired_ratio(values, [factor * value for value in values])
    assert (ratio.minimum, ratio.maximum) == pytest.approx((factor, factor))


@pytest.mark.parametrize("problem", [SINGLE, SEVERAL])
def test_every_draw_gives_scikit_learns_figures(monkeypatch, problem):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, size=150)
    logits = generator.normal(size=(150, 4)) + 1.5 * np.eye(4)[labels]
    mine = logits.argmax(1)
    if problem == SEVERAL:
        labels, mine = (generator.random((150, 4)) > 0.6).astype(int), (logits > 0).astype(int)
    rows = generator.integers(len(labels), size=(3, len(labels)))
    monkeypatch.setattr(
        statistics, "_bootstrap", lambda values, figures, **_: figures(values[rows])
    )
    accuracy, macro, micro = quality_intervals(logits, labels, problem).values()
    for draw, numbers in enumerate(rows):
        pair = labels[numbers], mine[numbers]
        assert accuracy[draw] == pytest.approx(accuracy_score(*pair))
        for average, found in (("macro", macro), ("micro", micro)):
            wanted = f1_score(*pair, average=average, zero_division=0)
            assert found[draw] == pytest.approx(wanted)


def test_intervals_hold_the_figure_and_are_the_same_every_time():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, size=90)
    logits = generator.normal(size=(90, 3)) + np.eye(3)[labels]
    found = quality_intervals(logits, labels, SINGLE)
    low, high = found["accuracy"]
    assert 0 < low < (logits.argmax(1) == labels).mean() < high < 1
    assert found == quality_intervals(logits, labels, SINGLE)
    assert quality_intervals(logits, labels, "regression") == {}
    assert quality_intervals(logits[:1], logits[:1].argmax(1), SINGLE)["accuracy"] == (1.0, 1.0)


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
    assert compare(base, base, labels, "regression") is None


def test_calibration_by_hand():
    sure, unsure = np.log([0.9, 0.1]), np.log([0.6, 0.4])
    logits = np.array([sure, sure, unsure, unsure])
    # Confidences .9 with both right, .6 with one right: (2·.1 + 2·.1) / 4.
    assert calibration_error(logits, [0, 0, 0, 1]) == pytest.approx(0.1)
    assert calibration_error(logits, [0, 0, 0, 1], "regression") is None
    several = np.log(np.array([[9.0, 1 / 9]]))
    assert calibration_error(several, [[1, 0]], SEVERAL) == pytest.approx(0.1)
