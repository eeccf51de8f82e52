"""What `accelerate` saw and decided, as plain data: JSON beside the model, and words for a user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tersely.bench import Spread

VERSION = 2


@dataclass(frozen=True)
class Tried:
    """One candidate, on the texts for selection: first on a few, then on all of them.

    `failures` count against it, of which the share is at most `bound` at 95 %. The ratios are to
    the packed original; that of seconds is rough: the clock in `Evidence.speed` is what counts.
    """

    name: str
    plan: Mapping[str, Any]
    execution: Mapping[str, Any]
    documents: int
    failures: int
    bound: float
    macs_ratio: float
    seconds_ratio: float
    verdict: str


@dataclass(frozen=True)
class Proof:
    """A finalist, on texts that nothing had looked at; it `holds` if the bound is in the limit."""

    name: str
    documents: int
    failures: int
    bound: float
    confidence: float
    holds: bool


@dataclass(frozen=True)
class Evidence:
    """What was found out about one model, on one user's texts and machine.

    Attributes:
        model: the original's name; no path.
        answer: `"faster"` or `"keep"`, with its reason in a sentence.
        counts: what a failure is: `"another label than the original's"`, or `"right before, wrong
            now"` where labels were given.
        limit: the share of failures that is allowed.
        texts: how many were given, how many are for selection and for proof.
        chosen: the name of what was chosen: what is saved, if the answer is `"faster"`.
        speed: of the choice: how many times faster than each way to run the original, by name.
        packed_speed: the same of packed execution without a plan, which changes no label.
        seconds: of each round, by name.
        proofs: packed execution first, then the choice; none if there was nothing to prove.
        timed_documents: how many texts the clock ran.
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
    packed_speed: Mapping[str, Spread] = field(default_factory=dict)
    seconds: Mapping[str, list[float]] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    tried: tuple[Tried, ...] = ()
    timed_documents: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence as JSON has it."""
        return {"version": VERSION} | asdict(self)

    def write(self, path: Path) -> Path:
        """Write the evidence as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        return path

    def sentences(self) -> list[str]:
        """Return the decision and what it rests on, for a user."""
        lines = [self.reason]
        speeds = {"packed": self.packed_speed, self.chosen: self.speed}
        for finalist, ways in speeds.items():
            for way, ratio in ways.items():
                low, high = ratio.interval or (ratio.minimum, ratio.maximum)
                lines.append(
                    f"{finalist}: ×{ratio.median:.2f} ({low:.2f}–{high:.2f}) the speed of {way}, "
                    f"on {self.timed_documents} texts"
                )
        lines += [
            f"{proof.name}: {proof.failures} of {proof.documents:,} texts that were not used for "
            f"choosing: {self.counts}; at most {proof.bound:.2%} at {proof.confidence:.0%} "
            f"confidence (allowed: {self.limit:.2%})"
            for proof in self.proofs
        ]
        return lines
