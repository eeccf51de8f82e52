"""Time contenders in turns, so that a slow minute of the machine hurts all of them alike.

In every round each contender runs all documents once, then a few documents alone; the next round
starts with the next contender, so that none always follows the same disturbance: A B C, then B C A,
then C A B. Absolute figures mean little on a shared machine; ratios within a round do.
"""

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from tersely.bench.contenders import Contender
from tersely.errors import TerselyWarning

Progress = Callable[[str, int, int], None]
"""Called after each step with what was done, and how many steps of how many are done."""


@dataclass(eq=False)
class Timing:
    """What the clock saw of one contender: seconds of each round, milliseconds of documents alone.

    Of tokenising nothing is known where it is part of `seconds`, or was not measured.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    logits: np.ndarray | None = None  # (documents, labels), of the last round
    alone: list[int] = field(default_factory=list)  # the documents of `latencies`
    latencies: list[float] = field(default_factory=list)
    tokenising: list[float] = field(default_factory=list)  # of all documents, in each round
    from_text: list[float] = field(default_factory=list)  # latencies with tokenising


def take_turns(
    contenders: Sequence[Contender],
    rounds: int = 5,
    warmup: int = 1,
    latency_documents: Sequence[int] = (),
    *,
    progress: Progress | None = None,
) -> list[Timing]:
    """Run prepared contenders in turns, and time each turn; one timing each, in their order.

    `warmup` is of untimed turns. Each of the `latency_documents` is run alone, once untimed and
    once timed, in the round that its place in this sequence gives it.
    """
    if rounds < 1 or not contenders:
        got = f"{len(contenders)} and {rounds}"
        raise ValueError(f"expected at least one contender and one round, got {got}; give more")
    tell = progress or (lambda *step: None)
    for place, contender in enumerate(contenders):
        for _ in range(warmup):
            contender.run()
        for index in latency_documents:
            contender.run_one(index)
        tell(f"warm-up: {contender.name}", place + 1, len(contenders))
    pairs = [(contender, Timing(contender.name)) for contender in contenders]
    done = 0
    for number in range(rounds):
        for contender, timing in _rotated(pairs, number):
            seconds, timing.logits = _timed(contender.run)
            timing.seconds.append(seconds)
            for index in latency_documents[number::rounds]:
                timing.alone.append(index)
                # The heap is tidy already; tidying takes longer than a short document.
                alone, _ = _timed(partial(contender.run_one, index), tidy=False)
                timing.latencies.append(1000 * alone)
            done += 1
            tell(f"round {number + 1}: {contender.name}", done, rounds * len(contenders))
    return [timing for _, timing in pairs]


def time_tokenising(
    contenders: Sequence[Contender], timings: Sequence[Timing], texts: Sequence[str], rounds: int
) -> None:
    """Time, in turns, what lies before the forward pass, and add it to the contenders' timings.

    The documents that were run alone are run once more from their texts. Contenders end up with
    other documents prepared; those that tokenise inside `run` are left out.
    """

    def from_text(contender: Contender, text: str) -> None:
        contender.prepare([text])
        contender.run()

    pairs = [pair for pair in zip(contenders, timings, strict=True) if not pair[0].tokenises_in_run]
    # How many documents are too long was said when they were first prepared.
    with warnings.catch_warnings(action="ignore", category=TerselyWarning):
        for number in range(rounds):
            for contender, timing in _rotated(pairs, number):
                timing.tokenising.append(_timed(partial(contender.prepare, texts))[0])
        for contender, timing in pairs:
            for index in timing.alone:
                seconds, _ = _timed(partial(from_text, contender, texts[index]), tidy=False)
                timing.from_text.append(1000 * seconds)


def _rotated(pairs: list[Any], number: int) -> list[Any]:
    """Return the order of a round: 0 1 2, then 1 2 0, then 2 0 1."""
    first = number % max(1, len(pairs))
    return pairs[first:] + pairs[:first]


def _timed(call: Callable[[], Any], tidy: bool = True) -> tuple[float, Any]:
    """Return the seconds of a call, begun on an idle device and a tidy heap, and its result."""
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else (lambda: None)
    if tidy:
        gc.collect()
    wait()
    started = time.perf_counter()
    result = call()
    wait()
    return time.perf_counter() - started, result
