"""What a comparison found, as plain data and as JSON; how it looks is the business of `show`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tersely.bench.memory import PeakMemory
from tersely.bench.statistics import Comparison, Interval, Spread, summarise

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
        peak_share: MACs per second by those of the fastest matrix product around the same turn,
            median over the rounds; None for one that multiplies on another device, or in another
            type of numbers, than those products (`BenchReport.matrix_on`).
        agreement: share of documents with the same prediction as the baseline.
        tokenising: seconds to tokenise and batch all documents; None where `seconds` holds it.
        latency: words and milliseconds of each document run alone.
        quality_intervals: 95 % bootstrap intervals of `quality`.
        tokens_by_block: tokens that went through each block, all documents together.
    """

    name: str
    tokens: int | None
    seconds: tuple[float, ...]
    speedup: Spread
    latency_p50: float | None = None
    latency_p95: float | None = None
    macs: float | None = None
    macs_ratio: float | None = None
    peak_share: float | None = None
    memory: PeakMemory | None = None
    quality: Mapping[str, float] | None = None
    agreement: float | None = None
    about: str | None = None
    tokenising: float | None = None
    speedup_with_tokenising: Spread | None = None
    latency: tuple[tuple[int, float], ...] = ()
    latency_from_text_p50: float | None = None
    latency_from_text_p95: float | None = None
    quality_intervals: Mapping[str, Interval] | None = None
    comparison: Comparison | None = None
    calibration_error: float | None = None
    tokens_by_block: tuple[int, ...] = ()
    training_seconds: float | None = None

    @property
    def spread(self) -> Spread:
        """The seconds of the rounds, summarised."""
        return summarise(self.seconds)


@dataclass(frozen=True)
class BenchReport:
    """What one comparison found, in plain data.

    Attributes:
        documents: how many documents every contender ran in every round.
        judged: how many documents quality was judged on.
        latency_documents: how many of them were also run alone.
        matrix_peak: MACs per second of the fastest matrix product in the same run.
        matrix_on: the device and the type of numbers of these products.
        unsteady: contenders whose ratios to the baseline disagree too much between the rounds, with
            the distance between the quartiles as a share of the median.
        command: the command line that made the report, as far as known.
        skipped: contenders that could not take part, and why.
    """

    machine: Mapping[str, Any]
    documents: int
    latency_documents: int
    rounds: int
    baseline: str
    matrix_peak: float
    results: tuple[ContenderResult, ...]
    judged: int | None = None
    matrix_on: str = "cpu, float32"
    unsteady: Mapping[str, float] = field(default_factory=dict)
    command: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)

    def findings(self) -> list[str]:
        """Return a sentence for each contender that is more often right than the baseline.

        Only where chance is no explanation (McNemar's exact test, p < 0.05).
        """
        [base] = [each for each in self.results if each.name == self.baseline]
        found = []
        for each in self.results:
            if each.comparison and each.comparison.difference > 0 > each.comparison.p_value - 0.05:
                mine, theirs = (100 * who.quality["accuracy"] for who in (each, base))
                found.append(
                    f"{each.name} is right more often than {base.name} ({mine:.1f} % against "
                    f"{theirs:.1f} %, p = {each.comparison.p_value:.2g}), at "
                    f"{each.speedup.median:.2g} times its speed."
                )
        return found

    def to_json(self) -> str:
        """Return the report as JSON, every round included; undefined metrics become null."""
        content = {"version": VERSION} | asdict(self)
        for result in content["results"]:
            quality = result["quality"] or {}
            defined = {k: None if math.isnan(x) else x for k, x in quality.items()}
            result["quality"] = defined or None
        return json.dumps(content, indent=2)
