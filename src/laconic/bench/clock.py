"""Time contenders in turns, so that a slow minute of the machine hurts all of them alike.

In every round each contender runs all documents once, then a few documents alone; the next round
starts with the next contender, so that none always follows the same disturbance.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .contenders import Contender
from .machine import MatrixProbe, synchronise

__all__ = ["Progress", "Timing", "take_turns"]

Progress = Callable[[str, int, int], None]
"""Called after each step with what was done, and how many steps of how many are done."""


@dataclass(frozen=True, eq=False)
class Timing:
    """What the clock saw of one contender.

    Attributes:
        name: the contender's name.
        seconds: seconds of each round, for all documents.
        latencies: milliseconds of each sampled document, run alone.
        logits: of the last round, `(documents, labels)`.
        peaks: multiply-adds per second of the fastest matrix product around each round's turn, the
            mean of just before and just after; empty without a probe.
    """

    name: str
    seconds: tuple[float, ...]
    latencies: tuple[float, ...]
    logits: np.ndarray
    peaks: tuple[float, ...] = ()


def take_turns(
    contenders: Sequence[Contender],
    rounds: int = 5,
    warmup: int = 1,
    latency_documents: Sequence[int] = (),
    *,
    probe: MatrixProbe | None = None,
    progress: Progress | None = None,
) -> list[Timing]:
    """Run prepared contenders in turns, and time each turn.

    Args:
        contenders: contenders whose `prepare` was called.
        rounds: turns of each, at least one.
        warmup: untimed turns of each before the first round.
        latency_documents: indices of the documents to run alone; each is run once untimed, and once
            timed, in the round that its place in this sequence gives it.
        probe: measured at the start of every round and after every turn: a shared machine's
            speed drifts within minutes.
        progress: called after every turn.

    Returns:
        One timing per contender, in the order given.

    Raises:
        ValueError: if there is no contender or no round.
    """
    if rounds < 1 or not contenders:
        raise ValueError(
            f"expected at least one contender and one round, got {len(contenders)} and {rounds}; "
            "give more"
        )
    for place, contender in enumerate(contenders):
        _warm_up(contender, warmup, latency_documents)
        if progress:
            progress(f"warm-up: {contender.name}", place + 1, len(contenders))
    seconds: list[list[float]] = [[] for _ in contenders]
    latencies: list[list[float]] = [[] for _ in contenders]
    peaks: list[list[float]] = [[] for _ in contenders]
    logits = [np.empty((0, 0)) for _ in contenders]
    for number in range(rounds):
        before = probe.measure() if probe else None
        for turn in range(len(contenders)):
            place = (number + turn) % len(contenders)
            contender = contenders[place]
            elapsed, logits[place] = _timed(contender.run)
            seconds[place].append(elapsed)
            if probe:
                after = probe.measure()
                peaks[place].append((before + after) / 2)
                before = after
            latencies[place] += _latencies(contender, latency_documents[number::rounds])
            if progress:
                done = number * len(contenders) + turn + 1
                progress(f"round {number + 1}: {contender.name}", done, rounds * len(contenders))
    return [
        Timing(
            contender.name,
            tuple(seconds[place]),
            tuple(latencies[place]),
            logits[place],
            tuple(peaks[place]),
        )
        for place, contender in enumerate(contenders)
    ]


def _warm_up(contender: Contender, turns: int, documents: Sequence[int]) -> None:
    for _ in range(turns):
        contender.run()
    for index in documents:
        contender.run_one(index)


def _latencies(contender: Contender, documents: Sequence[int]) -> list[float]:
    """Milliseconds of each document alone, the heap being tidy already."""
    return [1000 * _timed(partial(contender.run_one, index), tidy=False)[0] for index in documents]


def _timed(call: Callable[[], np.ndarray], tidy: bool = True) -> tuple[float, np.ndarray]:
    """Seconds of one call, begun on an idle device and a tidy heap, and what it returned.

    Collecting garbage takes longer than a short document, so it can be left out between those.
    """
    if tidy:
        gc.collect()
    synchronise()
    started = time.perf_counter()
    result = call()
    synchronise()
    return time.perf_counter() - started, result
