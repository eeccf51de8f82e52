"""What `accelerate` saw of each candidate, and its evidence in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tersely.accelerate.bound import CONFIDENCE

VERSION = 3


@dataclass(frozen=True)
class Trial:
    """One candidate on some texts.

    Attributes:
        stage: the texts: a `"few"` of those for selection, all for `"selection"`, or `"proof"`.
        failures: documents that count against it, a share of at most `bound` at 95 %.
        macs_ratio: its MACs by those of packed execution.
        holds: whether the bound is in the limit; on a few texts, whether it still may be.
    """

    name: str
    stage: str
    documents: int
    failures: int
    bound: float
    macs_ratio: float
    holds: bool
    verdict: str


def sentences(evidence: Mapping[str, Any]) -> list[str]:
    """Return the decision of `accelerate` and what it rests on, for a user."""
    lines = [evidence["reason"]]
    speeds = {"packed": evidence["packed_speed"], evidence["chosen"]: evidence["speed"]}
    for finalist, ways in speeds.items():
        for way, ratio in ways.items():
            low, high = ratio["interval"]
            lines.append(
                f"{finalist}: ×{ratio['median']:.2f} ({low:.2f}–{high:.2f}) the speed of {way}, "
                f"on {evidence['timed_documents']} texts"
            )
    lines += [
        f"{proof['name']}: {proof['failures']} of {proof['documents']:,} texts that were not used "
        f"for choosing: {evidence['counts']}; at most {proof['bound']:.2%} at {CONFIDENCE:.0%} "
        f"confidence (allowed: {evidence['limit']:.2%})"
        for proof in evidence["proofs"]
    ]
    return lines
