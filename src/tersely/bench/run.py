"""One comparison from beginning to end: prepare, take turns, measure memory, put together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tersely.bench.clock import Progress, Timing, take_turns, time_tokenising
from tersely.bench.contenders import Contender
from tersely.bench.energy import EnergyMeter
from tersely.bench.machine import MatrixProbe, describe_machine
from tersely.bench.memory import PeakMemory, measure_memory
from tersely.bench.report import BenchReport
from tersely.bench.results import Judge, Measured, result_of
from tersely.bench.statistics import summarise
from tersely.errors import DataError, TerselyWarning

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
    timed: int | None = None,
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
        timed: how many documents, drawn once for all, are run in every round; all by default.
            Quality is judged on all in any case.
        latency_documents: how many of those are also run alone.
        memory: whether to measure peak memory, in one fresh process per contender.
        seed: of the draw of the documents that are timed and run alone.
        probe: the matrix products to compare with; by default on the baseline's device, in its type
            of numbers. Contenders that multiply on another one get no share of the peak.
        progress: called after every step.

    Raises:
        DataError: if there are no documents or contenders, names are not unique, the baseline is
            none of them, or labels and logits do not fit.

    Warns:
        TerselyWarning: if the rounds of some contender disagree by more than `UNSTEADY`.
    """
    names = [contender.name for contender in contenders]
    baseline = _check(names, texts, baseline)
    probe = probe or _probe(contenders[names.index(baseline)])
    whole = None
    ran = list(texts)
    if timed is not None and timed < len(texts):
        whole = _logits(contenders, texts, progress)
        ran = [texts[index] for index in sorted(_sample(len(texts), timed, seed))]
    with warnings.catch_warnings():
        if whole is not None:
            # How many documents are too long was said of all of them.
            warnings.simplefilter("ignore", TerselyWarning)
        for contender in contenders:
            contender.prepare(ran)
    alone = _sample(len(ran), latency_documents, seed)
    timings = take_turns(
        contenders, rounds, warmup, alone, probe=probe, energy=EnergyMeter(), progress=progress
    )
    measured = [Measured.of(*pair) for pair in zip(contenders, timings, strict=True)]
    tokenising = time_tokenising(contenders, ran, min(rounds, 3), alone)
    unsteady = _unsteady(timings)
    peaks = _memory(contenders, ran, progress) if memory else [None] * len(contenders)
    measured = [
        replace(each, tokenising=before, memory=peak)
        for each, before, peak in zip(measured, tokenising, peaks, strict=True)
    ]
    whole = whole or {timing.name: timing.logits for timing in timings}
    judge = Judge(whole[baseline], labels, problem_type, seed)
    base = measured[names.index(baseline)]
    return BenchReport(
        machine=describe_machine(),
        documents=len(ran),
        judged=len(texts),
        latency_documents=len(alone),
        rounds=rounds,
        baseline=baseline,
        matrix_peak=probe.peak,
        matrix_on=", ".join(probe.arithmetic),
        memory_bandwidth=probe.bandwidth(),
        unsteady=unsteady,
        results=tuple(
            result_of(each, base, judge.of(whole[each.timing.name]), ran, probe.arithmetic)
            for each in measured
        ),
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


def _probe(contender: Contender) -> MatrixProbe:
    """Matrix products where a contender multiplies; in float32 where torch has none of its type."""
    device, dtype = getattr(contender, "arithmetic", None) or ("cpu", "float32")
    return MatrixProbe(device=device, dtype="float32" if dtype == "int8" else dtype)


def _sample(documents: int, wanted: int, seed: int) -> list[int]:
    """Indices of documents in random order, so that rounds get like shares."""
    order = np.random.default_rng(seed).permutation(documents)
    return order[:wanted].tolist()


def _logits(
    contenders: Sequence[Contender], texts: Sequence[str], progress: Progress | None
) -> dict[str, np.ndarray]:
    """The logits of every contender on all documents, outside the clock."""
    found = {}
    for done, contender in enumerate(contenders, start=1):
        contender.prepare(texts)
        found[contender.name] = contender.run()
        if progress:
            progress(f"quality: {contender.name}", done, len(contenders))
    return found


def _unsteady(timings: Sequence[Timing]) -> dict[str, float]:
    """Contenders whose rounds disagree too much to conclude, with a warning that names them."""
    spreads = {timing.name: summarise(timing.seconds).relative for timing in timings}
    unsteady = {name: spread for name, spread in spreads.items() if spread > UNSTEADY}
    if unsteady:
        named = ", ".join(f"{name} {spread:.0%}" for name, spread in unsteady.items())
        warnings.warn(
            f"the rounds disagree by more than {UNSTEADY:.0%} ({named} between the quartiles), so "
            "the figures are not conclusive; quieten the machine or add rounds",
            TerselyWarning,
            stacklevel=3,
        )
    return unsteady


def _memory(
    contenders: Sequence[Contender], texts: Sequence[str], progress: Progress | None
) -> list[PeakMemory | None]:
    peaks = []
    for done, contender in enumerate(contenders, start=1):
        peaks.append(measure_memory(contender, texts))
        if progress:
            progress(f"memory: {contender.name}", done, len(contenders))
    return peaks
