"""One comparison from beginning to end: prepare, take turns, measure memory, judge, report."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tersely._io import Progress, describe_machine
from tersely.bench.clock import Timing, take_turns, time_alone, time_tokenising
from tersely.bench.contenders import Contender
from tersely.bench.memory import measure_memory
from tersely.bench.report import BenchReport, ContenderResult, paired_ratio
from tersely.errors import DataError, TerselyWarning
from tersely.text.labels import REGRESSION
from tersely.text.metrics import (
    calibration_error,
    compare,
    evaluate_logits,
    predict_from_logits,
    right_documents,
    share_interval,
)


def bench(
    contenders: Sequence[Contender],
    texts: Sequence[str],
    labels: Sequence[Any] | np.ndarray | None = None,
    *,
    problem_type: str = "single_label_classification",
    rounds: int = 5,
    baseline: str | None = None,
    timed: int | None = None,
    latency_documents: int = 64,
    memory: bool = True,
    seed: int = 0,
    progress: Progress = None,
) -> BenchReport:
    """Compare contenders in one process, taking turns.

    Args:
        contenders: with different names; they are prepared here.
        texts: the documents.
        labels: what `evaluate_logits` takes, one per document; without them no quality is reported.
        problem_type: a transformers configuration's `problem_type`.
        rounds: turns of each contender.
        baseline: the name of the contender that ratios refer to; the first by default.
        timed: how many documents, drawn once for all, are run in every round; all by default.
            Quality is judged on all in any case.
        latency_documents: how many of those are also run alone.
        memory: whether to measure peak memory, in one fresh process per contender.
        seed: of the draw of the documents that are timed and run alone.
        progress: called after every step.

    Raises:
        DataError: if there are no documents or contenders, names are not unique, the baseline is
            none of them, or labels and logits do not fit.
    """
    names = [contender.name for contender in contenders]
    _check(names, texts, baseline)
    place = 0 if baseline is None else names.index(baseline)
    tell = progress or (lambda *step: None)
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
    timings = take_turns(contenders, rounds, progress=progress)
    # Before other documents are prepared: what the contenders know is of their last run.
    counted = ("about", "macs", "tokens", "training_seconds")
    known = [{name: getattr(each, name) for name in counted} for each in contenders]
    alone = [ran[index] for index in _sample(len(ran), latency_documents, seed)]
    with warnings.catch_warnings(action="ignore", category=TerselyWarning):
        time_tokenising(contenders, timings, ran, min(rounds, 3))
        time_alone(contenders, timings, alone, progress)
    logits = logits or [timing.logits for timing in timings]
    results = []
    for number, contender in enumerate(contenders):
        macs, base = known[number]["macs"], known[place]["macs"]
        results.append(
            ContenderResult(
                name=contender.name,
                memory=measure_memory(contender, ran) if memory else None,
                macs_ratio=None if macs is None or not base else macs / base,
                **known[number],
                **_speed(timings[number], timings[place]),
                **_quality(logits[number], logits[place], labels, problem_type, seed),
            )
        )
        tell(f"judged: {contender.name}", number + 1, len(names))
    counts = (len(ran), len(texts), len(alone), rounds)
    return BenchReport(describe_machine(), *counts, names[place], tuple(results))


def _check(names: Sequence[str], texts: Sequence[str], baseline: str | None) -> None:
    known, least = ", ".join(names), "at least one contender and one document"
    if not names or not texts:
        raise DataError(f"expected {least}, got {len(names)} and {len(texts)}; give both")
    if len(set(names)) < len(names):
        raise DataError(f"expected contenders with different names, got {known}; rename one")
    if baseline is not None and baseline not in names:
        raise DataError(f"expected the baseline to be one of {known}, got {baseline!r}; choose one")


def _sample(documents: int, wanted: int, seed: int) -> list[int]:
    """Numbers of documents in random order, so that rounds get like shares."""
    return np.random.default_rng(seed).permutation(documents)[:wanted].tolist()


def _speed(mine: Timing, base: Timing) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if mine.latencies:
        p50, p95 = np.percentile(mine.latencies, [50, 95]).tolist()
        found = {"latency_p50": p50, "latency_p95": p95}
        found["latency_from_text_p50"] = float(np.median(mine.from_text))
    # The median of tokenising beside each round's forward pass.
    before = [float(np.median(each.tokenising or 0.0)) for each in (mine, base)]
    whole = np.add(mine.seconds, before[0]).tolist(), np.add(base.seconds, before[1]).tolist()
    return found | {
        "seconds": tuple(mine.seconds),
        "speedup": paired_ratio(mine.seconds, base.seconds),
        "tokenising": before[0] if mine.tokenising else None,
        "speedup_with_tokenising": paired_ratio(*whole),
    }


def _quality(
    logits: np.ndarray, base: np.ndarray, labels: Any, problem_type: str, seed: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    classifies, comparable = problem_type != REGRESSION, logits.shape == base.shape
    if classifies and comparable:
        same = right_documents(logits, predict_from_logits(base, problem_type), problem_type)
        found["agreement"] = float(same.mean())
    if labels is None:
        return found
    wanted = np.asarray(labels)
    found["quality"] = evaluate_logits(logits, wanted, problem_type)
    if classifies:
        right = right_documents(logits, wanted, problem_type)
        found["quality_intervals"] = {"accuracy": share_interval(int(right.sum()), len(right))}
        found["calibration_error"] = calibration_error(logits, wanted, problem_type)
        if comparable:
            found["comparison"] = compare(logits, base, wanted, problem_type, seed=seed)
    return found
