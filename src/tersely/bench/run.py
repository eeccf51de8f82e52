"""One comparison from beginning to end: prepare, take turns, measure memory, judge, report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tersely._io import describe_machine
from tersely.bench.clock import MatrixProbe, Progress, Timing, take_turns, time_tokenising
from tersely.bench.contenders import Contender
from tersely.bench.memory import PeakMemory, measure_memory
from tersely.bench.report import BenchReport, ContenderResult
from tersely.bench.statistics import compare, paired_ratio, quality_intervals
from tersely.errors import DataError, TerselyWarning
from tersely.text.metrics import (
    calibration_error,
    evaluate_logits,
    predict_from_logits,
    right_documents,
)

UNSTEADY = 0.15
"""Distance between the quartiles, as a share of the median, above which ratios are in doubt."""


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
    _check(names, texts, baseline)
    place = 0 if baseline is None else names.index(baseline)
    tell = progress or (lambda *step: None)
    probe = probe or _probe(contenders[place])
    ran, logits = list(texts), []
    if timed is not None and timed < len(texts):
        for number, contender in enumerate(contenders):
            contender.prepare(texts)
            logits.append(contender.run())
            tell(f"quality: {contender.name}", number + 1, len(names))
        ran = [texts[index] for index in sorted(_sample(len(texts), timed, seed))]
    with warnings.catch_warnings():
        if logits:  # how many documents are too long was said of all of them
            warnings.simplefilter("ignore", TerselyWarning)
        for contender in contenders:
            contender.prepare(ran)
    alone = _sample(len(ran), latency_documents, seed)
    timings = take_turns(contenders, rounds, warmup, alone, probe=probe, progress=progress)
    # Before other documents are prepared: what the contenders know is of their last run.
    macs = contenders[place].macs
    work = [_work(*each, probe, macs) for each in zip(contenders, timings, strict=True)]
    time_tokenising(contenders, timings, ran, min(rounds, 3))
    peaks: list[PeakMemory | None] = [None] * len(names)
    for number, contender in enumerate(contenders if memory else ()):
        peaks[number] = measure_memory(contender, ran)
        tell(f"memory: {contender.name}", number + 1, len(names))
    logits = logits or [timing.logits for timing in timings]
    results = tuple(
        ContenderResult(
            name=name,
            memory=peaks[number],
            **_speed(timings[number], timings[place], ran),
            **work[number],
            **_quality(logits[number], logits[place], labels, problem_type, seed),
        )
        for number, name in enumerate(names)
    )
    return BenchReport(
        machine=describe_machine(),
        documents=len(ran),
        judged=len(texts),
        latency_documents=len(alone),
        rounds=rounds,
        baseline=names[place],
        matrix_peak=probe.peak,
        matrix_on=", ".join(probe.arithmetic),
        unsteady=_unsteady(results, names[place]),
        results=results,
    )


def _check(names: Sequence[str], texts: Sequence[str], baseline: str | None) -> None:
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


def _probe(contender: Contender) -> MatrixProbe:
    """Matrix products where a contender multiplies; in float32 where torch has none of its type."""
    device, dtype = contender.arithmetic or ("cpu", "float32")
    return MatrixProbe(device=device, dtype="float32" if dtype == "int8" else dtype)


def _sample(documents: int, wanted: int, seed: int) -> list[int]:
    """Numbers of documents in random order, so that rounds get like shares."""
    return np.random.default_rng(seed).permutation(documents)[:wanted].tolist()


def _work(
    contender: Contender, timing: Timing, probe: MatrixProbe, base: float | None
) -> dict[str, Any]:
    """The fields of a result that are about MACs, and what else the contender knows."""
    names = ("about", "macs", "tokens", "tokens_by_block", "training_seconds")
    found = {name: getattr(contender, name) for name in names}
    macs = contender.macs
    if macs is not None and base:
        found["macs_ratio"] = macs / base
    if macs is not None and contender.arithmetic == probe.arithmetic:
        rates = macs / np.array(timing.seconds)
        found["peak_share"] = float(np.median(rates / timing.peaks))
    return found


def _speed(mine: Timing, base: Timing, texts: Sequence[str]) -> dict[str, Any]:
    """The fields of a result that the clock gives."""
    p50, p95 = _percentiles(mine.latencies)
    text50, text95 = _percentiles(mine.from_text or mine.latencies)
    words = [len(texts[index].split()) for index in mine.alone]
    # The median of tokenising beside each round's forward pass.
    before = [float(np.median(each.tokenising or 0.0)) for each in (mine, base)]
    whole = [
        [extra + seconds for seconds in each.seconds]
        for extra, each in zip(before, (mine, base), strict=True)
    ]
    return {
        "seconds": tuple(mine.seconds),
        "speedup": paired_ratio(mine.seconds, base.seconds),
        "tokenising": before[0] if mine.tokenising else None,
        "speedup_with_tokenising": paired_ratio(*whole),
        "latency_p50": p50,
        "latency_p95": p95,
        "latency": tuple(zip(words, mine.latencies, strict=True)),
        "latency_from_text_p50": text50,
        "latency_from_text_p95": text95,
    }


def _percentiles(milliseconds: Sequence[float]) -> tuple[float | None, float | None]:
    if not milliseconds:
        return None, None
    p50, p95 = np.percentile(milliseconds, [50, 95]).tolist()
    return p50, p95


def _quality(
    logits: np.ndarray, base: np.ndarray, labels: Any, problem_type: str, seed: int
) -> dict[str, Any]:
    """The fields of a result that are about quality; without labels the agreement alone."""
    found: dict[str, Any] = {}
    if problem_type != "regression" and logits.shape == base.shape:
        same = right_documents(logits, predict_from_logits(base, problem_type), problem_type)
        found["agreement"] = float(same.mean())
    if labels is None:
        return found
    about = (np.asarray(labels), problem_type)
    found["quality"] = evaluate_logits(logits, *about)
    found["quality_intervals"] = quality_intervals(logits, *about, seed=seed)
    found["calibration_error"] = calibration_error(logits, *about)
    if "agreement" in found:
        found["comparison"] = compare(logits, base, *about, seed=seed)
    return found


def _unsteady(results: Sequence[ContenderResult], baseline: str) -> dict[str, float]:
    """Contenders whose ratios say too little, with a warning that names them.

    The ratios, not the seconds: a machine that is slow in one round is slow for all of them.
    """
    spreads = {each.name: each.speedup.relative for each in results}
    unsteady = {name: spread for name, spread in spreads.items() if spread > UNSTEADY}
    if unsteady:
        named = ", ".join(f"{name} {spread:.0%}" for name, spread in unsteady.items())
        warnings.warn(
            f"the ratios to {baseline} disagree between the rounds by more than {UNSTEADY:.0%} "
            f"({named} between the quartiles), so they are not conclusive; quieten the machine or "
            "add rounds",
            TerselyWarning,
            stacklevel=3,
        )
    return unsteady
