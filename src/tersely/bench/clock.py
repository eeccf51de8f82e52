"""Time contenders in turns, so that a slow minute of the machine hurts all of them alike.

In every round each contender runs all documents once, then a few documents alone; the next round
starts with the next contender, so that none always follows the same disturbance:

    round 1:  probe  A  probe  B  probe  C  probe
    round 2:  probe  B  probe  C  probe  A  probe

Absolute figures mean little on a shared machine. The share of the machine's own matrix-product
peak, probed around each turn, says how much of the time is spent on the products that a model
needs, and how much around them.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from tersely.bench.contenders import Contender
from tersely.errors import TerselyWarning

Progress = Callable[[str, int, int], None]
"""Called after each step with what was done, and how many steps of how many are done."""

SHAPES = ((4096, 384, 1536), (4096, 1536, 384), (2048, 2048, 2048))
"""Products `(rows, inner, columns)`: the two of a small encoder's feed-forward, and a square."""


@dataclass(eq=False)
class Timing:
    """What the clock saw of one contender: seconds of each round, milliseconds of documents alone.

    Attributes:
        logits: of the last round, `(documents, labels)`.
        alone: numbers of the documents that were run alone, in the order of `latencies`.
        peaks: MACs per second of the fastest matrix product around each round's turn, the mean of
            just before and just after; empty without a probe.
        tokenising: seconds of each round to tokenise and batch all documents; empty where that is
            part of `seconds`, or was not measured.
        from_text: milliseconds of each document alone, tokenising included.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    logits: np.ndarray | None = None
    alone: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    tokenising: list[float] = field(default_factory=list)
    from_text: list[float] = field(default_factory=list)


def take_turns(
    contenders: Sequence[Contender],
    rounds: int = 5,
    warmup: int = 1,
    latency_documents: Sequence[int] = (),
    *,
    probe: MatrixProbe | None = None,
    progress: Progress | None = None,
) -> list[Timing]:
    """Run prepared contenders in turns, and time each turn; one timing each, in their order.

    Args:
        contenders: contenders whose `prepare` was called.
        rounds: turns of each, at least one.
        warmup: untimed turns of each before the first round.
        latency_documents: numbers of the documents to run alone; each is run once untimed, and once
            timed, in the round that its place in this sequence gives it.
        probe: measured at the start of every round and after every turn: a shared machine's
            speed drifts within minutes.
        progress: called after every turn.

    Raises:
        ValueError: if there is no contender or no round.
    """
    if rounds < 1 or not contenders:
        raise ValueError(
            f"expected at least one contender and one round, got {len(contenders)} and {rounds}; "
            "give more"
        )
    tell = progress or (lambda *step: None)
    for place, contender in enumerate(contenders):
        for _ in range(warmup):
            contender.run()
        for index in latency_documents:
            contender.run_one(index)
        tell(f"warm-up: {contender.name}", place + 1, len(contenders))
    timings = [Timing(contender.name) for contender in contenders]
    for number in range(rounds):
        before = probe.measure() if probe else 0.0
        for turn, place in enumerate(_order(len(contenders), number)):
            contender, timing = contenders[place], timings[place]
            seconds, timing.logits = _timed(contender.run)
            timing.seconds.append(seconds)
            if probe:
                after = probe.measure()
                timing.peaks.append((before + after) / 2)
                before = after
            for index in latency_documents[number::rounds]:
                timing.alone.append(index)
                # The heap is tidy already; tidying takes longer than a short document.
                alone, _ = _timed(partial(contender.run_one, index), tidy=False)
                timing.latencies.append(1000 * alone)
            done = number * len(contenders) + turn + 1
            tell(f"round {number + 1}: {contender.name}", done, rounds * len(contenders))
    return timings


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
    with warnings.catch_warnings():
        # How many documents are too long was said when they were first prepared.
        warnings.simplefilter("ignore", TerselyWarning)
        for number in range(rounds):
            for place in _order(len(pairs), number):
                contender, timing = pairs[place]
                timing.tokenising.append(_timed(partial(contender.prepare, texts))[0])
        for contender, timing in pairs:
            for index in timing.alone:
                seconds, _ = _timed(partial(from_text, contender, texts[index]), tidy=False)
                timing.from_text.append(1000 * seconds)


def _order(contenders: int, number: int) -> Iterator[int]:
    """Yield whose turn it is in a round: 0 1 2, then 1 2 0, then 2 0 1."""
    return ((number + turn) % contenders for turn in range(contenders))


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


class MatrixProbe:
    """Measure the machine's matrix-product peak a little at a time, between contenders' turns.

    `peak` is the most MACs per second that any of the products `(rows, inner, columns)` reached so
    far, `arithmetic` the device and type of numbers they run on.

    Example:
        >>> probe = MatrixProbe(shapes=((64, 64, 64),))
        >>> 0 < probe.measure() <= probe.peak
        True
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]] = SHAPES,
        repeats: int = 3,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.peak = 0.0
        self.arithmetic = (device, dtype)
        self._shapes, self._repeats = shapes, repeats
        self._options = {"device": device, "dtype": getattr(torch, dtype)}

    def measure(self) -> float:
        """Multiply every shape a few times; return the best rate, in MACs per second."""
        best = 0.0
        for rows, inner, columns in self._shapes:
            # Made anew each time: 50 MiB that would otherwise stay beside the contenders.
            left, right = self._matrix(rows, inner), self._matrix(inner, columns)
            out = torch.empty(rows, columns, **self._options)
            multiply = partial(torch.mm, left, right, out=out)
            for _ in range(self._repeats):
                best = max(best, rows * inner * columns / _timed(multiply, tidy=False)[0])
        self.peak = max(self.peak, best)
        return best

    def _matrix(self, rows: int, columns: int) -> torch.Tensor:
        """Numbers that differ: a GPU multiplies equal ones faster. Random state is left alone."""
        return torch.linspace(-1, 1, rows * columns, **self._options).view(rows, columns)
