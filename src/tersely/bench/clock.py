"""Time contenders in turns, so that a slow minute of the machine hurts all of them alike.

In every round each contender runs all documents once, then a few documents alone; the next round
starts with the next contender, so that none always follows the same disturbance.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tersely.bench.contenders import Contender
from tersely.bench.energy import EnergyMeter
from tersely.bench.machine import MatrixProbe, synchronise
from tersely.errors import TerselyWarning

__all__ = ["Progress", "Timing", "Tokenising", "take_turns", "time_tokenising"]

Progress = Callable[[str, int, int], None]
"""Called after each step with what was done, and how many steps of how many are done."""


@dataclass(frozen=True, eq=False)
class Timing:
    """What the clock saw of one contender.

    Attributes:
        name: the contender's name.
        seconds: seconds of each round, for all documents.
        latencies: milliseconds of each sampled document, run alone.
        alone: which documents these were, in the same order.
        logits: of the last round, `(documents, labels)`.
        peaks: MACs per second of the fastest matrix product around each round's turn, the
            mean of just before and just after; empty without a probe.
        joules: of each round, for all documents; empty where the machine does not tell.
    """

    name: str
    seconds: tuple[float, ...]
    latencies: tuple[float, ...]
    logits: np.ndarray
    peaks: tuple[float, ...] = ()
    alone: tuple[int, ...] = ()
    joules: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tokenising:
    """What the clock saw of a contender's work before the forward pass.

    Attributes:
        seconds: of each round, to tokenise and batch all documents.
        latencies: milliseconds of each sampled document from text to logits, alone, in the order
            asked for.
    """

    seconds: tuple[float, ...]
    latencies: tuple[float, ...]


def take_turns(
    contenders: Sequence[Contender],
    rounds: int = 5,
    warmup: int = 1,
    latency_documents: Sequence[int] = (),
    *,
    probe: MatrixProbe | None = None,
    energy: EnergyMeter | None = None,
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
        energy: read before and after every turn.
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
    records: list[dict[str, list[Any]]] = [
        {name: [] for name in ("seconds", "latencies", "peaks", "alone", "joules")}
        for _ in contenders
    ]
    logits = [np.empty((0, 0)) for _ in contenders]
    for number in range(rounds):
        before = probe.measure() if probe else None
        for turn in range(len(contenders)):
            place = (number + turn) % len(contenders)
            contender, record = contenders[place], records[place]
            started = energy.read() if energy else None
            elapsed, logits[place] = _timed(contender.run)
            joules = energy.joules(started, energy.read()) if energy else None
            record["seconds"].append(elapsed)
            record["joules"] += [] if joules is None else [joules]
            if probe:
                after = probe.measure()
                record["peaks"].append((before + after) / 2)
                before = after
            documents = latency_documents[number::rounds]
            record["alone"] += documents
            record["latencies"] += _latencies(contender, documents)
            if progress:
                done = number * len(contenders) + turn + 1
                progress(f"round {number + 1}: {contender.name}", done, rounds * len(contenders))
    return [
        Timing(
            name=contender.name,
            logits=logits[place],
            **{name: tuple(values) for name, values in records[place].items()},
        )
        for place, contender in enumerate(contenders)
    ]


def time_tokenising(
    contenders: Sequence[Contender],
    texts: Sequence[str],
    rounds: int = 3,
    documents: Sequence[int] = (),
) -> list[Tokenising | None]:
    """Time, in turns, what lies before the forward pass; contenders end up with other documents.

    Args:
        contenders: contenders that know these texts already.
        texts: all documents.
        rounds: turns of each.
        documents: indices of those to run alone, from text to logits.

    Returns:
        One record per contender; None for one that tokenises inside its `run`.
    """
    seconds: list[list[float]] = [[] for _ in contenders]
    latencies: list[list[float]] = [[] for _ in contenders]
    with warnings.catch_warnings():
        # How many documents are too long was said when they were first prepared.
        warnings.simplefilter("ignore", TerselyWarning)
        for number in range(rounds):
            for turn in range(len(contenders)):
                place = (number + turn) % len(contenders)
                contender = contenders[place]
                if not getattr(contender, "tokenises_in_run", False):
                    seconds[place].append(_timed(partial(contender.prepare, texts))[0])
        for place, contender in enumerate(contenders):
            if not getattr(contender, "tokenises_in_run", False):
                one = [texts[index] for index in documents]
                latencies[place] = [_from_text(contender, text) for text in one]
    return [
        Tokenising(tuple(seconds[place]), tuple(latencies[place])) if seconds[place] else None
        for place in range(len(contenders))
    ]


def _from_text(contender: Contender, text: str) -> float:
    """Milliseconds from one text to its logits."""

    def whole() -> np.ndarray:
        contender.prepare([text])
        return contender.run()

    return 1000 * _timed(whole, tidy=False)[0]


def _warm_up(contender: Contender, turns: int, documents: Sequence[int]) -> None:
    for _ in range(turns):
        contender.run()
    for index in documents:
        contender.run_one(index)


def _latencies(contender: Contender, documents: Sequence[int]) -> list[float]:
    """Milliseconds of each document alone, the heap being tidy already."""
    return [1000 * _timed(partial(contender.run_one, index), tidy=False)[0] for index in documents]


def _timed(call: Callable[[], Any], tidy: bool = True) -> tuple[float, Any]:
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
