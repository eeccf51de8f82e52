"""Figures of the clock with how sure they are: medians of rounds, ratios in pairs.

Times on a shared machine have a long right tail, so the middle is a median; a slow minute hits all
contenders of a round alike, so ratios are taken within each round and only then summarised.
Intervals are percentiles of scipy's bootstrap at 95 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tersely.text.metrics import Interval, bootstrap


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


def summarise(values: Sequence[float]) -> Spread:
    """Summarise at least one measurement; quartiles are interpolated linearly."""
    if len(values) == 0:
        raise ValueError("expected at least one measurement, got none; run at least one round")
    minimum, lower, median, upper, maximum = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    interval = bootstrap(np.asarray(values), np.median, draws=2000)
    return Spread(median, minimum, maximum, lower, upper, interval)


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise `baseline / value`, taken round by round: how many times faster the values are."""
    return summarise([base / value for value, base in zip(values, baseline, strict=True)])
