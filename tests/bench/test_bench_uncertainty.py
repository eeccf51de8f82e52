"""Intervals and paired comparisons against scikit-learn, scipy and sums by hand."""

import numpy as np
import pytest
from scipy.stats import binom, bootstrap
from sklearn.metrics import accuracy_score, f1_score

from tersely.bench import compare, quality_intervals, uncertainty
from tersely.text.metrics import calibration_error

SINGLE, SEVERAL = "single_label_classification", "multi_label_classification"


@pytest.fixture
def judged():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, size=150)
    return generator.normal(size=(150, 4)) + 1.5 * np.eye(4)[labels], labels


def test_every_draw_gives_scikit_learns_figures(judged, monkeypatch):
    logits, labels = judged
    rows = np.random.default_rng(3).integers(len(labels), size=len(labels))
    weights = np.bincount(rows, minlength=len(labels)).astype(float)
    monkeypatch.setattr(uncertainty, "_draws", lambda *_: weights[None])
    found = quality_intervals(logits, labels, SINGLE)
    mine, theirs = logits.argmax(1)[rows], labels[rows]
    assert found["accuracy"][0] == pytest.approx(accuracy_score(theirs, mine))
    for average in ("macro", "micro"):
        assert found[f"{average}_f1"][0] == pytest.approx(f1_score(theirs, mine, average=average))
    several = (np.random.default_rng(4).random((150, 4)) > 0.6).astype(int)
    found = quality_intervals(logits, several, SEVERAL)
    mine, theirs = (logits > 0)[rows].astype(int), several[rows]
    for average in ("macro", "micro"):
        assert found[f"{average}_f1"][0] == pytest.approx(
            f1_score(theirs, mine, average=average, zero_division=0)
        )


def test_the_interval_of_the_accuracy_is_that_of_scipys_bootstrap(judged):
    logits, labels = judged
    right = (logits.argmax(1) == labels).astype(float)
    theirs = bootstrap((right,), np.mean, method="percentile", n_resamples=9999, random_state=0)
    wanted = tuple(theirs.confidence_interval)
    assert quality_intervals(logits, labels, SINGLE)["accuracy"] == pytest.approx(wanted, abs=0.015)
    assert quality_intervals(logits, labels, "regression") == {}


def test_the_comparison_counts_what_only_one_has_right():
    base = np.eye(2)[[0] * 8 + [1] * 4]
    mine = np.eye(2)[[0] * 7 + [1] * 5]
    labels = [0] * 6 + [0, 1] + [1] * 4
    found = compare(mine, base, labels, SINGLE)
    assert (found.better, found.worse) == (1, 0)
    labels = [1] * 8 + [1] * 4
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
