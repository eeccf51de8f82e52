"""Figures with how sure they are: medians of rounds, ratios in pairs, differences of documents.

Times on a shared machine have a long right tail, so the middle is a median; a slow minute hits all
contenders of a round alike, so ratios are taken within each round and only then summarised.
Intervals are percentiles of scipy's bootstrap at 95 %, that of a share is the binomial's, exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.errors import require
from tersely.text.metrics import right_documents

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
    """Summarise at least one measurement; quartiles are interpolated linearly."""
    if len(values) == 0:
        raise ValueError("expected at least one measurement, got none; run at least one round")
    minimum, lower, median, upper, maximum = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    interval = _bootstrap(np.asarray(values), np.median, draws=2000)
    return Spread(median, minimum, maximum, lower, upper, interval)


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise `baseline / value`, taken round by round: how many times faster the values are."""
    return summarise([base / value for value, base in zip(values, baseline, strict=True)])


def share_interval(count: int, documents: int) -> Interval:
    """Return the exact interval of a share, such as the accuracy."""
    found = _scipy().binomtest(count, documents).proportion_ci()
    return float(found.low), float(found.high)


def compare(
    logits: np.ndarray, base: np.ndarray, labels: np.ndarray, problem_type: str, *, seed: int = 0
) -> Comparison:
    """Compare the correct predictions of a contender with the baseline's."""
    mine, theirs = (right_documents(each, labels, problem_type) for each in (logits, base))
    better, worse = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    gains = mine.astype(float) - theirs
    interval = _bootstrap(gains, np.mean, draws=1000, seed=seed)
    p_value = float(_scipy().binomtest(worse, better + worse).pvalue) if better + worse else 1.0
    return Comparison(better, worse, float(gains.mean()), interval, p_value)


def _bootstrap(
    values: np.ndarray, statistic: Callable[..., Any], *, draws: int, seed: int = 0
) -> Interval:
    if len(values) == 1:  # every draw is the same one, which scipy refuses
        return float(values[0]), float(values[0])
    options = {"n_resamples": draws, "method": "percentile", "batch": 100}
    found = _scipy().bootstrap((values,), statistic, random_state=seed, **options)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _scipy() -> Any:
    return require("scipy.stats", "bench")
