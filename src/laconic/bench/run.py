"""One comparison from beginning to end: prepare, take turns, measure memory, put together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError, LaconicWarning
from ..metrics import evaluate_logits, predict_from_logits
from .clock import Progress, Timing, take_turns
from .contenders import Contender
from .machine import MatrixProbe, describe_machine
from .memory import PeakMemory, measure_memory
from .report import BenchReport, ContenderResult
from .statistics import paired_ratio, summarise

__all__ = ["UNSTEADY", "bench"]

UNSTEADY = 0.15
"""Distance between the quartiles, as a share of the median, above which figures are in doubt."""


def bench(
    contenders: Sequence[Contender],
    texts: Sequence[str],
    labels: Sequence[Any] | np.ndarray | None = None,
    *,
    problem_type: str = "single_label_classification",
    rounds: int = 5,
    warmup: int = 1,
    baseline: str | None = None,
    latency_documents: int = 64,
    memory: bool = True,
    seed: int = 0,
    probe: MatrixProbe | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Compare contenders on the same documents in one process, taking turns.

    Args:
        contenders: with different names; they are prepared here.
        texts: the documents.
        labels: what `evaluate_logits` takes, one per document; without them no quality is reported.
        problem_type: a transformers configuration's `problem_type`.
        rounds: turns of each contender.
        warmup: untimed turns of each before.
        baseline: the name of the contender that ratios refer to; the first by default.
        latency_documents: how many documents, drawn once for all, are also run alone.
        memory: whether to measure peak memory, in one fresh process per contender.
        seed: of the draw of the documents that are run alone.
        probe: the matrix products to compare with; `MatrixProbe()` by default, on the CPU.
        progress: called after every step.

    Raises:
        DataError: if there are no documents or contenders, names are not unique, the baseline is
            none of them, or labels and logits do not fit.

    Warns:
        LaconicWarning: if the rounds of some contender disagree by more than `UNSTEADY`.
    """
    names = [contender.name for contender in contenders]
    baseline = _check(names, texts, baseline)
    probe = probe or MatrixProbe()
    for contender in contenders:
        contender.prepare(texts)
    alone = _sample(len(texts), latency_documents, seed)
    timings = take_turns(contenders, rounds, warmup, alone, probe=probe, progress=progress)
    _warn_if_unsteady(timings)
    peaks = _memory(contenders, texts, progress) if memory else [None] * len(contenders)
    place = names.index(baseline)
    results = [
        _result(
            contender,
            timing,
            peak,
            base=timings[place],
            base_multiply_adds=contenders[place].multiply_adds,
            labels=labels,
            problem_type=problem_type,
        )
        for contender, timing, peak in zip(contenders, timings, peaks, strict=True)
    ]
    return BenchReport(
        machine=describe_machine(),
        documents=len(texts),
        latency_documents=len(alone),
        rounds=rounds,
        baseline=baseline,
        matrix_peak=probe.peak,
        results=tuple(results),
    )


def _check(names: Sequence[str], texts: Sequence[str], baseline: str | None) -> str:
    """The baseline's name, if names, documents and it make sense."""
    if not names or not texts:
        raise DataError(
            f"expected at least one contender and one document, got {len(names)} and {len(texts)}; "
            "give both"
        )
    if len(set(names)) < len(names):
        raise DataError(
            f"expected contenders with different names, got {', '.join(names)}; rename one"
        )
    if baseline is not None and baseline not in names:
        raise DataError(
            f"expected the baseline to be one of {', '.join(names)}, got {baseline!r}; choose one"
        )
    return names[0] if baseline is None else baseline


def _sample(documents: int, wanted: int, seed: int) -> list[int]:
    """Indices of documents to run alone, in random order, so that rounds get like shares."""
    order = np.random.default_rng(seed).permutation(documents)
    return order[:wanted].tolist()


def _warn_if_unsteady(timings: Sequence[Timing]) -> None:
    spreads = {timing.name: summarise(timing.seconds).relative for timing in timings}
    unsteady = [f"{name} {spread:.0%}" for name, spread in spreads.items() if spread > UNSTEADY]
    if unsteady:
        warnings.warn(
            f"the rounds disagree by more than {UNSTEADY:.0%} ({', '.join(unsteady)} between the "
            "quartiles), so the figures are not conclusive; quieten the machine or add rounds",
            LaconicWarning,
            stacklevel=3,
        )


def _memory(
    contenders: Sequence[Contender], texts: Sequence[str], progress: Progress | None
) -> list[PeakMemory | None]:
    peaks = []
    for done, contender in enumerate(contenders, start=1):
        peaks.append(measure_memory(contender, texts))
        if progress:
            progress(f"memory: {contender.name}", done, len(contenders))
    return peaks


def _result(
    contender: Contender,
    timing: Timing,
    memory: PeakMemory | None,
    *,
    base: Timing,
    base_multiply_adds: float | None,
    labels: Sequence[Any] | np.ndarray | None,
    problem_type: str,
) -> ContenderResult:
    """Put together what was measured of one contender, and set it against the baseline."""
    count = contender.multiply_adds
    ratio = share = p50 = p95 = quality = None
    if count is not None:
        rates = zip(timing.seconds, timing.peaks, strict=True)
        share = summarise([count / seconds / peak for seconds, peak in rates]).median
        ratio = count / base_multiply_adds if base_multiply_adds else None
    if timing.latencies:
        p50, p95 = np.percentile(timing.latencies, [50, 95]).tolist()
    if labels is not None:
        quality = evaluate_logits(timing.logits, labels, problem_type)
    return ContenderResult(
        name=contender.name,
        tokens=contender.tokens,
        seconds=timing.seconds,
        speedup=paired_ratio(timing.seconds, base.seconds),
        latency_p50=p50,
        latency_p95=p95,
        multiply_adds=count,
        multiply_adds_ratio=ratio,
        peak_share=share,
        memory=memory,
        quality=quality,
        agreement=_agreement(timing.logits, base.logits, problem_type),
    )


def _agreement(logits: np.ndarray, base: np.ndarray, problem_type: str) -> float | None:
    """Share of documents with the same prediction; None where predictions are numbers."""
    if problem_type == "regression" or logits.shape != base.shape:
        return None
    mine, theirs = (predict_from_logits(each, problem_type) for each in (logits, base))
    same = (mine == theirs).reshape(len(mine), -1).all(axis=1)
    return float(same.mean())
