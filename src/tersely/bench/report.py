"""What a comparison found, as plain data; how it looks is the business of `show`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tersely.bench.memory import PeakMemory
from tersely.bench.statistics import Comparison, Interval, Spread, summarise
from tersely.text.write import without_nan

VERSION = 2
"""Of the JSON."""


@dataclass(frozen=True)
class ContenderResult:
    """What was measured of one contender; None where something was not.

    Seconds are of all documents, latencies milliseconds of one document alone; ratios are to the
    baseline.

    Attributes:
        speedup: the baseline's seconds by this contender's, paired round by round.
        macs: of all documents.
        agreement: share of documents with the same prediction as the baseline.
        tokenising: seconds to tokenise and batch all documents; None where `seconds` holds it.
        quality_intervals: the 95 % interval of the accuracy.
    """

    name: str
    tokens: int | None
    seconds: tuple[float, ...]
    speedup: Spread
    latency_p50: float | None = None
    latency_p95: float | None = None
    macs: float | None = None
    macs_ratio: float | None = None
    memory: PeakMemory | None = None
    quality: Mapping[str, float] | None = None
    agreement: float | None = None
    about: str | None = None
    tokenising: float | None = None
    speedup_with_tokenising: Spread | None = None
    latency_from_text_p50: float | None = None
    quality_intervals: Mapping[str, Interval] | None = None
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
    """What one comparison found, in plain data.

    Attributes:
        documents: how many every contender ran in every round; `latency_documents` also alone.
        judged: how many documents quality was judged on.
        unsteady: contenders whose ratios to the baseline disagree too much between the rounds, with
            the distance between the quartiles as a share of the median.
        command: the command line that made the report, as far as known.
        skipped: contenders that could not take part, and why.
    """

    machine: Mapping[str, Any]
    documents: int
    judged: int
    latency_documents: int
    rounds: int
    baseline: str
    results: tuple[ContenderResult, ...]
    unsteady: Mapping[str, float] = field(default_factory=dict)
    command: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> ContenderResult:
        """The result of the baseline."""
        return next(each for each in self.results if each.name == self.baseline)

    def findings(self) -> list[str]:
        """Return a sentence for each contender that is more often right than the baseline.

        Only where chance is no explanation (McNemar's exact test, p < 0.05).
        """
        found = []
        for each in self.results:
            if each.comparison and each.comparison.difference > 0 > each.comparison.p_value - 0.05:
                mine, theirs = (100 * who.quality["accuracy"] for who in (each, self.base))
                found.append(
                    f"{each.name} is right more often than {self.baseline} ({mine:.1f} % against "
                    f"{theirs:.1f} %, p = {each.comparison.p_value:.2g}), at "
                    f"{each.speedup.median:.2g} times its speed."
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it, every round included; undefined metrics are None."""
        return without_nan({"version": VERSION} | asdict(self))
