"""A step of a plan: at these blocks, score so, select so, act so.

What can be wrong with one step alone is refused when it is made; what depends on the other steps,
or on the encoder's depth, when they are fitted to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from tersely.errors import PlanError
from tersely.reduction.actions import Action, DropTokens
from tersely.reduction.parts import Part
from tersely.reduction.scorers import Scorer
from tersely.reduction.selectors import Selector

INPUT = "input"
"""Right after the embedding, before the first block."""


def resolve_block(block: int | float, depth: int, where: str = "blocks") -> int:
    """Return the 0-based block that a number or a fraction stands for.

    Fractions let one preset fit encoders of 6 and 12 blocks. The fraction f of a depth L stands for
    the block `min(L − 2, round_half_up(f·L) − 1)`: 7/12 is the paper's seventh of twelve blocks
    (number 6), and the fourth of six (number 3).

    Args:
        block: an integer in [−depth, depth), negative ones counted from the end, or a fraction
            in (0, 1) as a float.
        depth: blocks of the encoder.
        where: the field's place in the plan, for messages.

    Raises:
        PlanError: if there is no such block.
    """
    if isinstance(block, float):
        return max(0, min(depth - 2, math.floor(block * depth + 0.5) - 1))
    if not -depth <= block < depth:
        raise PlanError(
            f"{where} must be a block of this encoder, 0 to {depth - 1} (or a fraction of its "
            f"depth), got {block}"
        )
    return block % depth


def resolve_blocks(blocks: Any, depth: int, where: str = "blocks") -> list[int]:
    """Return the blocks of a step, ascending: of a number, a list, or `{"start": …, "stop": …}`.

    `stop` itself is not included; a `start` or `stop` that is left out means the first block, or
    all to the last.
    """
    if isinstance(blocks, dict):
        start, stop = blocks.get("start"), blocks.get("stop")
        first = 0 if start is None else resolve_block(start, depth, f"{where}.start")
        last = depth if stop is None else resolve_block(stop, depth, f"{where}.stop")
        if first > last:
            raise PlanError(f"{where}.stop must come after start, got blocks {first} to {last}")
        return list(range(first, last))
    many = blocks if isinstance(blocks, list | tuple) else [blocks]
    return sorted({resolve_block(block, depth, where) for block in many})


def _check_blocks(blocks: Any) -> None:
    """Raise a `PlanError` unless `blocks` is well formed, whatever the encoder's depth."""
    if blocks == INPUT:
        return
    many = blocks if isinstance(blocks, list | tuple) else [blocks]
    if isinstance(blocks, dict):
        unknown = sorted(set(blocks) - {"start", "stop"})
        if unknown:
            raise PlanError(f"blocks has the fields start and stop, got {unknown[0]!r}")
        many = [end for end in blocks.values() if end is not None]
    elif not many:
        raise PlanError("blocks must name at least one block, got an empty list")
    for block in many:
        whole = isinstance(block, int) and not isinstance(block, bool)
        if not whole and not (isinstance(block, float) and 0 < block < 1):
            raise PlanError(
                "blocks must be whole numbers counted from 0, or fractions of the depth in "
                f"(0, 1), got {block!r}"
            )


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        act: what happens.
        blocks: at which blocks: numbers from 0, fractions of the depth, a list of them,
            `{"start": …, "stop": …}` with `stop` left out of the range, or `"input"` for right
            after the embedding.
        score: how tokens are scored; None for actions that choose nothing.
        select: which tokens go; None for actions that choose nothing.
    """

    act: Action
    blocks: Any
    score: Scorer | None = None
    select: Selector | None = None

    def __post_init__(self) -> None:
        _check_blocks(self.blocks)
        if isinstance(self.blocks, tuple):
            object.__setattr__(self, "blocks", list(self.blocks))  # as JSON gives it back
        if self.blocks == INPUT:
            _check_input(self)
        needs = self.act.selects
        for name, part in (("score", self.score), ("select", self.select)):
            if needs and part is None:
                raise PlanError(f"{name} must be given for {self.act.kind!r}, got nothing")
            if not needs and part is not None:
                raise PlanError(f"{name} must be left out for {self.act.kind!r}, got {part.kind!r}")
        if not needs:
            return
        if self.score.per_head and self.act.acts != "keys":
            raise PlanError(
                f"score.heads must be 'mean' for {self.act.kind!r}, which takes a token from all "
                "heads at once, got 'each'"
            )
        _check_learning(self)

    @property
    def parts(self) -> dict[str, Part]:
        """The step's parts by role."""
        parts = {"score": self.score, "select": self.select, "act": self.act}
        return {role: part for role, part in parts.items() if part is not None}

    @property
    def learns(self) -> bool:
        """Whether any of its parts does."""
        return any(part.learns for part in self.parts.values())

    def at_block(self, number: int, count: int) -> Step:
        """Return the step at the `number`-th (from 1) of its `count` blocks."""
        parts = {role: part.at_block(number, count) for role, part in self.parts.items()}
        return replace(self, **parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the step as JSON writes it."""
        data: dict[str, Any] = {"blocks": self.blocks, "act": self.act.to_dict()}
        if self.act.selects:
            data |= {"score": self.score.to_dict(), "select": self.select.to_dict()}
        return data

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Step:
        """Rebuild a step; errors name the field."""
        if not isinstance(data, dict):
            raise PlanError(f"{where} must be an object, got {data!r}")
        unknown = sorted(set(data) - {"blocks", "act", "score", "select"})
        if unknown:
            raise PlanError(
                f"{where}.{unknown[0]} is not a field of a step; "
                "its fields are blocks, score, select, act"
            )
        if "blocks" not in data:
            raise PlanError(f"{where}.blocks must be given, got nothing")
        parts = {
            name: kind.from_dict(data[name], f"{where}.{name}")
            for name, kind in (("act", Action), ("score", Scorer), ("select", Selector))
            if data.get(name) is not None or name == "act" and name in data
        }
        if "act" not in parts:
            raise PlanError(f"{where}.act must be given, got nothing")
        try:
            return cls(blocks=data["blocks"], **parts)
        except PlanError as error:
            raise PlanError(f"{where}.{error}") from None


def _check_learning(step: Step) -> None:
    """What learns needs a way for its gradients, and who gives them needs something that learns."""
    act, score, select = step.act, step.score, step.select
    if select.learns and not act.takes_masks:
        raise PlanError(
            f"act must be one that a learned selector can teach ('drop-tokens') for "
            f"{select.kind!r}, got {act.kind!r}"
        )
    if select.learns:
        return
    if act.soft:
        raise PlanError(f"select must be one that learns for {act.kind!r}, got {select.kind!r}")
    if getattr(score, "gradients", False):
        raise PlanError(f"score.gradients must be false for {select.kind!r}, which learns nothing")
    if score.needs_teaching:
        raise PlanError(
            f"select must be one that learns for {score.kind!r}, which learns from nothing else, "
            f"got {select.kind!r}"
        )


def _check_input(step: Step) -> None:
    """Before the first block there is no attention to ask, and tokens can only leave for good."""
    if not isinstance(step.act, DropTokens):
        raise PlanError(f"act must be 'drop-tokens' at blocks 'input', got {step.act.kind!r}")
    if step.learns:
        raise PlanError("parts at blocks 'input' must not learn, got one that does")
    if step.score is not None and step.score.needs_block:
        raise PlanError(
            "score must be one that needs no attention ('position', 'random') at blocks 'input', "
            f"got {step.score.kind!r}"
        )
