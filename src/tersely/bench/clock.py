"""Time contenders in turns, so that a slow minute of the machine hurts all of them alike.

In every round each contender runs all documents once; the next round starts with the next one, so
that none always follows the same disturbance: A B C, then B C A, then C A B. So it goes with a few
documents alone. Absolute figures mean little on a shared machine; ratios within a round do.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from tersely._io import Progress
from tersely.bench.contenders import Contender


@dataclass(eq=False)
class Timing:
    """What the clock saw of one contender: seconds of each round, milliseconds of documents alone.

    Of tokenising nothing is known where it is part of `seconds`.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    logits: np.ndarray | None = None  # (documents, labels), of the last round
    tokenising: list[float] = field(default_factory=list)  # of all documents, in each round
    latencies: list[float] = field(default_factory=list)  # of documents alone
    from_text: list[float] = field(default_factory=list)  # latencies with tokenising


def take_turns(
    contenders: Sequence[Contender],
    rounds: int = 5,
    warmup: int = 1,
    *,
    progress: Progress = None,
) -> list[Timing]:
    """Run prepared contenders in turns, and time each turn; one timing each, in their order.

    `warmup` is of untimed turns.
    """
    tell = progress or (lambda *step: None)
    for place, contender in enumerate(contenders):
        for _ in range(warmup):
            contender.run()
        tell(f"warm-up: {contender.name}", place + 1, len(contenders))
    pairs = [(contender, Timing(contender.name)) for contender in contenders]
    done = 0
    for number in range(rounds):
        for contender, timing in _rotated(pairs, number):
            seconds, timing.logits = _timed(contender.run)
            timing.seconds.append(seconds)
            done += 1
            tell(f"round {number + 1}: {contender.name}", done, rounds * len(contenders))
    return [timing for _, timing in pairs]


def time_tokenising(
    contenders: Sequence[Contender], timings: Sequence[Timing], texts: Sequence[str], rounds: int
) -> None:
    """Time, in turns, what lies before the forward pass, and add it to the contenders' timings.

    Those that tokenise inside `run` are left out.
    """
    pairs = [pair for pair in zip(contenders, timings, strict=True) if not pair[0].tokenises_in_run]
    for number in range(rounds):
        for contender, timing in _rotated(pairs, number):
            timing.tokenising.append(_timed(partial(contender.prepare, texts))[0])


def time_alone(
    contenders: Sequence[Contender],
    timings: Sequence[Timing],
    texts: Sequence[str],
    progress: Progress = None,
) -> None:
    """Time documents one at a time, in turns, from the text, and the forward pass once warm.

    Contenders end up with the last of them prepared.
    """
    pairs = list(zip(contenders, timings, strict=True))
    for number, text in enumerate(texts):
        for contender, timing in _rotated(pairs, number):
            # The heap is tidy already; tidying takes longer than a short document.
            before, _ = _timed(partial(contender.prepare, [text]), tidy=False)
            contender.run()
            seconds, _ = _timed(contender.run, tidy=False)
            timing.latencies.append(1000 * seconds)
            timing.from_text.append(1000 * (before + seconds))
        if progress is not None:
            progress("documents alone", number + 1, len(texts))


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
