"""What a comparison found, as plain data; how it looks is the business of `show`.

Times on a shared machine have a long right tail, so the middle is a median; a slow minute hits all
contenders of a round alike, so ratios are taken within each round and only then summarised.
Intervals are percentiles of scipy's bootstrap at 95 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tersely.bench.memory import PeakMemory
from tersely.text.metrics import Comparison, Interval, bootstrap, spell_times
from tersely.text.write import without_nan

VERSION = 3  # of the JSON


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


@dataclass(frozen=True)
class ContenderResult:
    """What was measured of one contender; None where something was not.

    Seconds and MACs are of all documents, latencies milliseconds of one document alone; ratios are
    to the baseline.
    """

    name: str
    tokens: int | None
    seconds: tuple[float, ...]
    speedup: Spread  # the baseline's seconds by this contender's, paired round by round
    latency_p50: float | None = None
    latency_p95: float | None = None
    macs: float | None = None
    macs_ratio: float | None = None
    memory: PeakMemory | None = None
    quality: Mapping[str, float] | None = None
    agreement: float | None = None  # share of documents with the baseline's prediction
    about: str | None = None
    tokenising: float | None = None  # seconds, with batching; None where `seconds` holds it
    speedup_with_tokenising: Spread | None = None
    latency_from_text_p50: float | None = None
    quality_intervals: Mapping[str, Interval] | None = None  # at 95 %, of the accuracy
    comparison: Comparison | None = None
    calibration_error: float | None = None
    training_seconds: float | None = None

    @property
    def realised_saving(self) -> float | None:
        """How much of the saving in MACs reached the clock: 1 for all of it."""
        return None if self.macs_ratio is None else self.speedup.median * self.macs_ratio

    @property
    def spread(self) -> Spread:
        """The seconds of the rounds, summarised."""
        return summarise(self.seconds)


@dataclass(frozen=True)
class BenchReport:
    """What one comparison found, in plain data."""

    machine: Mapping[str, Any]
    documents: int  # that every contender ran in every round
    judged: int  # that quality was judged on
    latency_documents: int  # that were also run alone
    rounds: int
    baseline: str
    results: tuple[ContenderResult, ...]
    command: str | None = None  # that made the report, as far as known
    skipped: Mapping[str, str] = field(default_factory=dict)  # who could not take part, and why

    @property
    def base(self) -> ContenderResult:
        """The result of the baseline."""
        return next(each for each in self.results if each.name == self.baseline)

    @property
    def inconclusive(self) -> list[str]:
        """Contenders of whom the rounds do not tell whether they are faster than the baseline."""
        others = (each for each in self.results if each.name != self.baseline)
        return [o.name for o in others if o.speedup.interval[0] <= 1 <= o.speedup.interval[1]]

    def verdict(self) -> list[str]:
        """Say who is best here, by how much, at what cost, and who is nearly as good and faster."""
        judged = [o for o in self.results if o.comparison and "accuracy" in o.quality]
        others = [each for each in judged if each.name != self.baseline]
        if not others or self.base not in judged:
            return []
        best = max(others, key=lambda each: (each.quality["accuracy"], each.speedup.median))
        wins = best.comparison.conclusive and best.comparison.difference > 0
        mine, theirs = (100 * who.quality["accuracy"] for who in (best, self.base))
        figures = f"{mine:.1f} % against {theirs:.1f} %, {best.comparison}"
        figures += f", at {spell_times(best.speedup.median)}"
        head = f"{best.name} is most accurate: {figures} of {self.baseline}."
        if not wins:
            head = (
                f"Nothing here is shown to be more accurate than {self.baseline}; the best "
                f"alternative, {best.name}, reaches {figures}."
            )
        good = [o for o in judged if not (o.comparison.conclusive and o.comparison.difference < 0)]
        fast = max(good, key=lambda each: each.speedup.median)
        if wins or fast.speedup.interval[0] <= 1 or fast is best:
            return [head]
        told = f"{fast.name}: {fast.comparison}, at {spell_times(fast.speedup.median)}"
        return [head, f"The fastest that is not shown to be worse is {told}."]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it, every round included; undefined metrics are None."""
        said = {"verdict": self.verdict(), "inconclusive": self.inconclusive}
        return without_nan({"version": VERSION} | said | asdict(self))
