"""From what was measured of each contender to its result: ratios to the baseline, and quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.bench.clock import Timing, Tokenising
from tersely.bench.contenders import Contender
from tersely.bench.memory import PeakMemory
from tersely.bench.report import ContenderResult
from tersely.bench.statistics import Spread, paired_ratio, summarise
from tersely.bench.uncertainty import compare, quality_intervals
from tersely.text.metrics import calibration_error, evaluate_logits, predict_from_logits

__all__ = ["Judge", "Measured", "result_of"]


@dataclass(frozen=True)
class Measured:
    """All that was measured of one contender.

    Attributes:
        timing: what the clock saw.
        about: what the contender says that it is.
        macs: of the last run over all documents, None if not counted.
        tokens: of the documents, None if it has none.
        tokens_by_block: tokens that went through each block.
        training_seconds: what training took, None if not known.
        tokenising: what the clock saw before the forward pass; None if that is part of it.
        memory: peak memory, None if not measured.
        arithmetic: the device and the type of numbers that it multiplies on; None if not known.
    """

    timing: Timing
    about: str | None = None
    macs: float | None = None
    tokens: int | None = None
    tokens_by_block: tuple[int, ...] = ()
    training_seconds: float | None = None
    tokenising: Tokenising | None = None
    memory: PeakMemory | None = None
    arithmetic: tuple[str, str] | None = None

    @classmethod
    def of(cls, contender: Contender, timing: Timing) -> Measured:
        """Ask a contender what it knows of its last run."""
        return cls(
            timing,
            about=getattr(contender, "about", None),
            macs=contender.macs,
            tokens=contender.tokens,
            tokens_by_block=getattr(contender, "tokens_by_block", ()),
            training_seconds=getattr(contender, "training_seconds", None),
            arithmetic=getattr(contender, "arithmetic", None),
        )

    @property
    def whole(self) -> list[float]:
        """Seconds of each round with tokenising: its median beside each round's forward pass."""
        before = 0.0 if self.tokenising is None else summarise(self.tokenising.seconds).median
        return [before + seconds for seconds in self.timing.seconds]


@dataclass(frozen=True, eq=False)
class Judge:
    """Quality of every contender on the same documents.

    Args:
        base: the baseline's logits.
        labels: what was wanted; None if nobody knows.
        problem_type: a transformers configuration's `problem_type`.
        seed: of the bootstrap.
    """

    base: np.ndarray
    labels: Any
    problem_type: str
    seed: int = 0

    def of(self, logits: np.ndarray) -> dict[str, Any]:
        """The fields of a result that are about quality."""
        found: dict[str, Any] = {"agreement": _agreement(logits, self.base, self.problem_type)}
        if self.labels is None:
            return found
        labels = np.asarray(self.labels)
        about = (labels, self.problem_type)
        found["quality"] = evaluate_logits(logits, *about)
        found["quality_intervals"] = quality_intervals(logits, *about, seed=self.seed)
        found["calibration_error"] = calibration_error(logits, *about)
        if found["agreement"] is not None:
            found["comparison"] = compare(logits, self.base, *about, seed=self.seed)
        return found


def result_of(
    mine: Measured,
    base: Measured,
    quality: dict[str, Any],
    texts: Sequence[str],
    peak_of: tuple[str, str],
) -> ContenderResult:
    """Put together what was measured of one contender, and set it against the baseline.

    The peak of matrix products is that of one device and type of numbers, `peak_of`; it says
    nothing of a contender that multiplies elsewhere, or otherwise.
    """
    timing, before = mine.timing, mine.tokenising
    ratio = None
    if mine.macs is not None and base.macs:
        ratio = mine.macs / base.macs
    p50, p95 = _percentiles(timing.latencies)
    text50, text95 = (p50, p95) if before is None else _percentiles(before.latencies)
    words = [len(texts[index].split()) for index in timing.alone]
    return ContenderResult(
        name=timing.name,
        about=mine.about,
        tokens=mine.tokens,
        seconds=timing.seconds,
        speedup=paired_ratio(timing.seconds, base.timing.seconds),
        tokenising=None if before is None else summarise(before.seconds).median,
        speedup_with_tokenising=paired_ratio(mine.whole, base.whole),
        latency_p50=p50,
        latency_p95=p95,
        latency=tuple(zip(words, timing.latencies, strict=True)),
        latency_from_text_p50=text50,
        latency_from_text_p95=text95,
        macs=mine.macs,
        macs_ratio=ratio,
        peak_share=_peak_share(mine) if mine.arithmetic == peak_of else None,
        tokens_by_block=tuple(mine.tokens_by_block),
        memory=mine.memory,
        joules=summarise(timing.joules).median if timing.joules else None,
        training_seconds=mine.training_seconds,
        **quality,
    )


def _peak_share(mine: Measured) -> float | None:
    if mine.macs is None:
        return None
    rates = zip(mine.timing.seconds, mine.timing.peaks, strict=True)
    shares: Spread = summarise([mine.macs / second / peak for second, peak in rates])
    return shares.median


def _percentiles(milliseconds: Sequence[float]) -> tuple[float | None, float | None]:
    if not milliseconds:
        return None, None
    p50, p95 = np.percentile(milliseconds, [50, 95]).tolist()
    return p50, p95


def _agreement(logits: np.ndarray, base: np.ndarray, problem_type: str) -> float | None:
    """Share of documents with the same prediction; None where predictions are numbers."""
    if problem_type == "regression" or logits.shape != base.shape:
        return None
    mine, theirs = (predict_from_logits(each, problem_type) for each in (logits, base))
    same = (mine == theirs).reshape(len(mine), -1).all(axis=1)
    return float(same.mean())
