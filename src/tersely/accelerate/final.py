"""The end of a search: the finalists against both ways to run the original, then the proof.

There are two finalists at most, packed execution and the choice, so that a choice which is not
proven need not leave a user with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tersely.accelerate.bound import CONFIDENCE, upper_bound
from tersely.accelerate.candidates import Candidate
from tersely.accelerate.evidence import Evidence, Proof
from tersely.accelerate.judge import Judge
from tersely.bench import Spread, StockContender, paired_ratio, take_turns
from tersely.classifier import Classifier
from tersely.modeling import Execution

__all__ = ["GAIN", "TIMED", "gains", "prove_in_turn", "ready", "stock", "timed", "turns"]

GAIN = 1.05
"""The least speed-up, at the lower end of its interval, that is worth another model."""

TIMED = 64
"""Texts that the clock runs."""

WAYS = ("the original, padded in arrival order", "the original, padded and sorted by length")


def stock(original: Classifier, order: str) -> StockContender:
    """The original as transformers run it, in `"arrival"` order or `"sorted"` by length."""
    name = WAYS[0 if order == "arrival" else 1]
    return StockContender(
        original.model,
        original.tokenizer,
        name=name,
        order=order,
        max_length=original.limit,
    )


def turns(contenders: list[Any], texts: list[str], rounds: int) -> list[Any]:
    """The contenders' timings on the first of the texts, taking turns."""
    texts = texts[:TIMED]
    for contender in contenders:
        contender.prepare(texts)
    return take_turns(contenders, rounds)


def gains(speed: Mapping[str, Spread]) -> bool:
    """Whether it is faster than the faster way to run the original."""
    return min(speed.values(), key=lambda ratio: ratio.median).interval[0] >= GAIN


def timed(
    evidence: Evidence,
    original: Classifier,
    texts: list[str],
    finalists: list[Candidate],
    before: Candidate | None,
    rounds: int,
) -> tuple[Evidence, dict[str, dict[str, Spread]]]:
    """The final comparison: the choice, the last one, and packed against both ways to run it.

    Returns:
        The evidence with the clock's part, and how many times faster each finalist is than each
        way to run the original, by their names.
    """
    best = finalists[-1]
    contenders: list[Any] = [stock(original, order) for order in ("arrival", "sorted")]
    contenders += [each.contender(original) for each in finalists]
    if before is not None and before.name not in [each.name for each in finalists]:
        contenders.append(before.contender(original))
    timings = turns(contenders, texts, rounds)
    seconds = {timing.name: timing.seconds for timing in timings}
    speeds = {
        each.name: {way: paired_ratio(seconds[each.name], seconds[way]) for way in WAYS}
        for each in finalists
    }
    without = None
    if before is not None:
        ratios = [paired_ratio(seconds[before.name], seconds[way]).median for way in WAYS]
        without = {"name": before.name, "speed": min(ratios)}
    evidence = replace(
        evidence,
        chosen=best.name,
        execution=best.execution.to_dict(),
        speed=speeds[best.name],
        seconds=seconds,
        without_training=without,
    )
    return evidence, speeds


def prove_in_turn(
    finalists: list[Candidate],
    original: Classifier,
    texts: list[str],
    judge: Judge,
    limit: float,
) -> tuple[Candidate | None, tuple[Proof, ...]]:
    """The last finalist that is proven, and the proofs, packed first.

    The order is settled before these texts are looked at, and the first that is not proven ends it.
    So the confidence holds for all together (testing in a fixed sequence), as it does for one.
    """
    proven, proofs = None, []
    for candidate in finalists:
        logits = candidate.build(original).logits(texts)
        proofs.append(_prove(candidate.name, logits, judge, limit))
        if not proofs[-1].holds:
            break
        proven = candidate
    return proven, tuple(proofs)


def _prove(name: str, logits: np.ndarray, judge: Judge, limit: float) -> Proof:
    failures, documents = judge.failures(logits), len(logits)
    bound = upper_bound(failures, documents)
    return Proof(name, documents, failures, bound, CONFIDENCE, bound <= limit, judge.gained(logits))


def ready(best: Candidate, original: Classifier) -> Classifier:
    """The choice with its execution in the configuration, in float32, so that it can be saved."""
    plain = replace(best, execution=Execution()).build(original)
    threads = best.execution.threads
    if threads is not None and threads >= torch.get_num_threads():
        threads = None
    execution = replace(best.execution, threads=threads)
    plain.model.config.execution = None if execution == Execution() else execution.to_dict()
    return plain
