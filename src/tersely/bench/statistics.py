"""Medians, spreads and ratios of a few repeated measurements, with bootstrap intervals.

Times on a shared machine have a long right tail, so the middle is a median; and a slow minute hits
all contenders of a round alike, so ratios are taken within each round and only then summarised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Spread", "paired_ratio", "summarise"]

_DRAWS = 2000


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements and how far they lie apart, in their own unit.

    `interval` is the 95 % bootstrap interval of the median (percentiles of 2,000 draws). Of five
    rounds it is hardly narrower than from the least to the most, which is what they tell.
    """

    median: float
    minimum: float
    maximum: float
    lower_quartile: float
    upper_quartile: float
    interval: tuple[float, float] | None = None

    @property
    def relative(self) -> float:
        """The distance between the quartiles as a share of the median (0.1 is 10 %)."""
        if self.median == 0:
            return 0.0
        return (self.upper_quartile - self.lower_quartile) / abs(self.median)


def summarise(values: Sequence[float]) -> Spread:
    """Summarise at least one measurement; quartiles are interpolated linearly.

    Raises:
        ValueError: if there are no values.

    Example:
        >>> summarise([3.0, 1.0, 2.0]).median
        2.0
    """
    if len(values) == 0:
        raise ValueError("expected at least one measurement, got none; run at least one round")
    quartiles = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    minimum, lower, median, upper, maximum = quartiles
    return Spread(median, minimum, maximum, lower, upper, _interval(np.asarray(values)))


def _interval(values: np.ndarray) -> tuple[float, float]:
    draws = np.random.default_rng(0).integers(len(values), size=(_DRAWS, len(values)))
    low, high = np.percentile(np.median(values[draws], axis=1), [2.5, 97.5]).tolist()
    return low, high


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise `baseline / value`, taken round by round: how many times faster the values are.

    Args:
        values: seconds of one contender, one per round.
        baseline: seconds of the baseline in the same rounds.

    Raises:
        ValueError: if the two do not have the same number of rounds.

    Example:
        >>> paired_ratio([1.0, 2.0], [2.0, 4.0]).median
        2.0
    """
    pairs = zip(values, baseline, strict=True)
    return summarise([before / after for after, before in pairs])
