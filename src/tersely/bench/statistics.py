"""Figures with how sure they are: medians of rounds, ratios in pairs, quality with intervals.

Times on a shared machine have a long right tail, so the middle is a median; a slow minute hits all
contenders of a round alike, so ratios are taken within each round and only then summarised. All
intervals are percentiles of scipy's bootstrap at 95 %. Contenders are resampled with the same draws
of documents, so their intervals can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tersely.errors import require
from tersely.text.metrics import predict_from_logits, right_documents

Interval = tuple[float, float]
"""The lower and upper end of a 95 % interval."""


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements and how far they lie apart, in their own unit.

    `interval` is that of the median. Of five rounds it is hardly narrower than from the least to
    the most, which is what they tell.
    """

    median: float
    minimum: float
    maximum: float
    lower_quartile: float
    upper_quartile: float
    interval: Interval | None = None

    @property
    def relative(self) -> float:
        """The distance between the quartiles as a share of the median (0.1 is 10 %)."""
        if self.median == 0:
            return 0.0
        return (self.upper_quartile - self.lower_quartile) / abs(self.median)


@dataclass(frozen=True)
class Comparison:
    """A contender's correct predictions against the baseline's, document by document.

    `better` and `worse` are documents that only one of them has right, `difference` is that of the
    accuracies, its interval of documents drawn in pairs, `p_value` of McNemar's exact test.
    """

    better: int
    worse: int
    difference: float
    interval: Interval
    p_value: float


def summarise(values: Sequence[float]) -> Spread:
    """Summarise at least one measurement; quartiles are interpolated linearly.

    Example:
        >>> summarise([3.0, 1.0, 2.0]).median
        2.0
    """
    if len(values) == 0:
        raise ValueError("expected at least one measurement, got none; run at least one round")
    minimum, lower, median, upper, maximum = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    [interval] = _bootstrap(np.asarray(values), np.median, draws=2000)
    return Spread(median, minimum, maximum, lower, upper, interval)


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise `baseline / value`, taken round by round: how many times faster the values are.

    Example:
        >>> paired_ratio([1.0, 2.0], [2.0, 4.0]).median
        2.0
    """
    return summarise([base / value for value, base in zip(values, baseline, strict=True)])


def quality_intervals(
    logits: np.ndarray, labels: np.ndarray, problem_type: str, *, seed: int = 0
) -> dict[str, Interval]:
    """Return the intervals of accuracy and of macro and micro F1; none of a regression.

    Logits are `(documents, labels)`; labels and problem type as `evaluate_logits` takes them.

    Example:
        >>> logits = np.eye(2)[[0, 1] * 50]
        >>> quality_intervals(logits, [0, 1] * 50, "single_label_classification")["accuracy"]
        (1.0, 1.0)
    """
    if problem_type == "regression":
        return {}
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    several = problem_type == "multi_label_classification"
    if not several:
        # One column a label: document 2 of label "b" among a, b, c is the row 0 1 0.
        names = np.union1d(predicted, wanted)
        predicted, wanted = predicted[:, None] == names, wanted[:, None] == names
    predicted, wanted = predicted.astype(bool), wanted.astype(bool)
    correct, hits = (predicted == wanted).all(axis=1), (predicted & wanted).astype(float)
    marks = predicted.astype(float) + wanted

    def figures(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        """Accuracy, macro and micro F1 of draws `(draws, documents)` of row numbers."""
        rows = np.moveaxis(rows, axis, -1).astype(int)
        flat = rows.reshape(-1, rows.shape[-1])
        weights = np.stack([np.bincount(row, minlength=len(correct)) for row in flat]).astype(float)
        true, both = 2 * (weights @ hits), weights @ marks
        f1 = np.divide(true, both, out=np.zeros_like(true), where=both > 0)
        # Of single labels those count that occur or are predicted, as in `evaluate_logits`.
        counted = np.full_like(f1, True) if several else both > 0
        found = (
            weights @ correct / len(correct),
            f1.sum(1) / np.maximum(counted.sum(1), 1),
            true.sum(1) / np.maximum(both.sum(1), 1),
        )
        return np.stack([each.reshape(rows.shape[:-1]) for each in found])

    intervals = _bootstrap(np.arange(len(correct)), figures, seed=seed)
    return dict(zip(("accuracy", "macro_f1", "micro_f1"), intervals, strict=True))


def compare(
    logits: np.ndarray, base: np.ndarray, labels: np.ndarray, problem_type: str, *, seed: int = 0
) -> Comparison | None:
    """Compare the correct predictions of a contender with the baseline's; None for a regression.

    Example:
        >>> base, mine = np.eye(2)[[0, 0, 0, 0]], np.eye(2)[[0, 0, 0, 1]]
        >>> found = compare(mine, base, [0, 0, 0, 1], "single_label_classification")
        >>> found.better, found.worse, found.difference, found.p_value
        (1, 0, 0.25, 1.0)
    """
    if problem_type == "regression":
        return None
    mine, theirs = (right_documents(each, labels, problem_type) for each in (logits, base))
    better, worse = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    test = require("scipy.stats", "bench").binomtest
    gains = mine.astype(float) - theirs
    [interval] = _bootstrap(gains, np.mean, seed=seed)
    p_value = float(test(worse, better + worse).pvalue) if better + worse else 1.0
    return Comparison(better, worse, float(gains.mean()), interval, p_value)


def _bootstrap(
    values: np.ndarray, statistic: Callable[..., np.ndarray], *, draws: int = 1000, seed: int = 0
) -> list[Interval]:
    """Return the 95 % interval of each figure that the statistic gives."""
    if len(values) == 1:  # every draw is the same one, which scipy refuses
        value = np.atleast_1d(statistic(values, axis=-1)).tolist()
        return [(each, each) for each in value]
    options = {"n_resamples": draws, "method": "percentile", "vectorized": True, "batch": 100}
    bootstrap = require("scipy.stats", "bench").bootstrap
    found = bootstrap((values,), statistic, random_state=seed, **options)
    low, high = (np.atleast_1d(end).tolist() for end in found.confidence_interval)
    return list(zip(low, high, strict=True))
