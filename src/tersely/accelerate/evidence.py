"""What `accelerate` saw and decided, as plain data: JSON beside the model, and words for a user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tersely.bench import Spread

__all__ = ["VERSION", "Evidence", "Proof", "Tried"]

VERSION = 1


@dataclass(frozen=True)
class Tried:
    """One candidate, on the texts that are for choosing.

    Attributes:
        name: what it is.
        plan: the plan, as JSON has it.
        execution: token budget, threads, precision.
        trained: whether it was fine-tuned.
        documents: texts that it was judged on: first a few, then all that are for choosing; 0 for
            threads and token budgets, which change the order of sums at most and are timed only.
        failures: of those, the ones that count against it.
        bound: the share of failures that is not exceeded at 95 %; None without a text.
        macs_ratio: of the encoder's blocks, to the dense model's on the same texts.
        seconds_ratio: a single, rough measurement against the packed original; the clock in
            `Evidence.speed` is the one that counts. None where the verdict has another.
        verdict: what became of it.
    """

    name: str
    plan: Mapping[str, Any]
    execution: Mapping[str, Any]
    documents: int
    failures: int
    bound: float | None
    macs_ratio: float | None
    seconds_ratio: float | None
    verdict: str
    trained: bool = False


@dataclass(frozen=True)
class Proof:
    """A finalist, on the texts that nothing had looked at before.

    Attributes:
        name: of the finalist.
        documents: how many.
        failures: of those, the ones that count against the choice.
        bound: the share of failures that is not exceeded, one-sided, exact.
        confidence: of the bound.
        holds: whether the bound is within the limit.
        gained: documents that only the choice has right, where labels were given.
    """

    name: str
    documents: int
    failures: int
    bound: float
    confidence: float
    holds: bool
    gained: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What was found out about one model, on one user's texts and machine.

    Attributes:
        model: the original's name; no path.
        answer: `"faster"` or `"keep"`.
        reason: in a sentence.
        counts: what a failure is: `"another label than the original's"`, or `"right before, wrong
            now"` where labels were given.
        limit: the share of failures that is allowed.
        texts: how many were given, how many are for choosing and for proving.
        chosen: the name of what was chosen: what is saved, if the answer is `"faster"`.
        execution: of that.
        speed: how many times faster than each way to run the original, by name of that way.
        seconds: of each round, by name.
        proofs: packed execution first, then the choice; none if there was nothing to prove.
        tried: all candidates, those of the execution too.
        timed_documents: how many texts the clock ran.
        without_training: the fastest choice without training and its speed, where training was
            asked for.
        machine: see `tersely.bench.describe_machine`.
        command: the command line, as far as known; of paths here the last parts alone.
    """

    model: str
    answer: str
    reason: str
    counts: str
    limit: float
    texts: Mapping[str, int]
    chosen: str | None = None
    execution: Mapping[str, Any] | None = None
    speed: Mapping[str, Spread] = field(default_factory=dict)
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    tried: tuple[Tried, ...] = ()
    timed_documents: int = 0
    without_training: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"version": VERSION} | asdict(self)

    def write(self, path: Path) -> Path:
        """Write the evidence as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        return path

    def sentences(self) -> list[str]:
        """The decision and what it rests on, for a user."""
        lines = [self.reason]
        for name, ratio in self.speed.items():
            low, high = ratio.interval or (ratio.minimum, ratio.maximum)
            lines.append(
                f"{self.chosen}: ×{ratio.median:.2f} ({low:.2f}–{high:.2f}) the speed of {name}, "
                f"on {self.timed_documents} texts"
            )
        lines += [
            f"{proof.name}: {proof.failures} of {proof.documents:,} texts that were not used for "
            f"choosing: {self.counts}; at most {proof.bound:.2%} at {proof.confidence:.0%} "
            f"confidence (allowed: {self.limit:.2%})"
            for proof in self.proofs
        ]
        if self.without_training is not None:
            before = self.without_training
            lines.append(
                f"without training the fastest is {before['name']}, ×{before['speed']:.2f}"
            )
        return lines
