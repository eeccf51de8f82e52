"""A step of a plan: at these blocks, score so, select so, act so.

What can be wrong with one step alone is refused when it is made; what depends on the other steps,
or on the encoder's depth, when they are fitted to it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from tersely.errors import PlanError
from tersely.reduction.actions import Action, DropTokens
from tersely.reduction.parts import Part, check, check_names, is_whole
from tersely.reduction.scorers import Scorer
from tersely.reduction.selectors import Selector

INPUT = "input"
"""Right after the embedding, before the first block."""


def resolve_block(block: int | float, depth: int, where: str = "blocks") -> int:
    """Return the 0-based block of so many that a number or a fraction stands for.

    Negative numbers are counted from the end. Fractions in (0, 1) let one preset fit encoders of 6
    and 12 blocks: f of a depth L stands for the block `min(L − 2, round_half_up(f·L) − 1)`: 7/12 is
    the paper's seventh of twelve blocks (number 6), and the fourth of six (number 3).
    """
    if isinstance(block, float):
        return max(0, min(depth - 2, math.floor(block * depth + 0.5) - 1))
    if not -depth <= block < depth:
        raise PlanError(
            f"{where} must be a block of this encoder, 0 to {depth - 1} (or a fraction of its "
            f"depth), got {block}"
        )
    return block % depth


def resolve_blocks(blocks: Any, depth: int, where: str = "blocks") -> list[int | str]:
    """Return the blocks of a step, ascending: of a number, a list, or `{"start": …, "stop": …}`.

    `stop` itself is not included; without a `start` or a `stop` it is all from the first, to the
    last. `"input"` is one by itself.
    """
    if blocks == INPUT:
        return [INPUT]
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
    if blocks == INPUT:
        return
    many = blocks if isinstance(blocks, list | tuple) else [blocks]
    if isinstance(blocks, dict):
        unknown = sorted(set(blocks) - {"start", "stop"})
        if unknown:
            raise PlanError(f"blocks may have the fields start and stop, got {unknown[0]!r}")
        many = [end for end in blocks.values() if end is not None]
    elif not many:
        raise PlanError("blocks must name at least one block, got an empty list")
    expected = "whole numbers counted from 0, or fractions of the depth in (0, 1)"
    for block in many:
        right = is_whole(block) or isinstance(block, float) and 0 < block < 1
        check(right, "blocks", expected, block)


@dataclass(frozen=True)
class Step:
    """One step of a plan; actions that choose nothing have neither scorer nor selector.

    Its blocks are numbers from 0, fractions of the depth, a list of them, `{"start": …, "stop": …}`
    with `stop` left out of the range, or `"input"` for right after the embedding.
    """

    act: Action
    blocks: Any
    score: Scorer | None = None
    select: Selector | None = None

    def __post_init__(self) -> None:
        _check_blocks(self.blocks)
        if isinstance(self.blocks, tuple):
            object.__setattr__(self, "blocks", list(self.blocks))  # as JSON gives it back
        act, given = self.act, "given" if self.act.selects else "left out"
        for name, part in (("score", self.score), ("select", self.select)):
            right = act.selects == (part is not None)
            check(right, name, f"{given} for {act.kind!r}", part and part.kind)
        if self.blocks == INPUT:
            # There is no attention to ask yet, and tokens can only leave for good.
            check(isinstance(act, DropTokens), "act", "'drop-tokens' at blocks 'input'", act.kind)
            expected = "one that needs no attention ('position', 'random') at blocks 'input'"
            check(not self.score.needs_block, "score", expected, self.score.kind)
            expected = "one that learns nothing at blocks 'input'"
            check(not self.select.learns, "select", expected, self.select.kind)
        elif act.selects and self.score.needs_linear:
            expected = f"'input' for {self.score.kind!r}, which scores pieces of the text"
            check(False, "blocks", expected, self.blocks)
        if act.selects:
            _check_choice(act, self.score, self.select)

    @property
    def parts(self) -> dict[str, Part]:
        """The step's parts by role."""
        parts = {"score": self.score, "select": self.select, "act": self.act}
        return {role: part for role, part in parts.items() if part is not None}

    @property
    def learns(self) -> bool:
        """Whether any of its parts does."""
        return any(part.learns for part in self.parts.values())

    @property
    def is_randomised(self) -> bool:
        """Whether training draws its share at random."""
        return self.select is not None and self.select.randomised

    def at_block(self, number: int, count: int) -> Self:
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
    def from_dict(cls, data: Any, where: str) -> Self:
        """Rebuild a step; errors name the field."""
        check(isinstance(data, dict), where, "an object", data)
        check_names(data, ("blocks", "score", "select", "act"), where, "a step")
        for name in ("blocks", "act"):
            if data.get(name) is None:
                raise PlanError(f"{where}.{name} is missing; every step needs it")
        roles = {"act": Action, "score": Scorer, "select": Selector}
        parts = {
            role: kind.from_dict(data[role], f"{where}.{role}")
            for role, kind in roles.items()
            if data.get(role) is not None
        }
        try:
            return cls(blocks=data["blocks"], **parts)
        except PlanError as error:
            raise PlanError(f"{where}.{error}") from None


def _check_choice(act: Action, score: Scorer, select: Selector) -> None:
    """Refuse heads that cannot differ, and what learns without a way for its gradients."""
    right = not score.per_head or act.acts == "keys"
    at_once = f"'mean' for {act.kind!r}, which takes a token from all heads at once"
    check(right, "score.heads", at_once, "each")
    if select.learns:
        expected = f"one that {select.kind!r}, which learns, can train, such as 'drop-tokens'"
        check(act.takes_masks, "act", expected, act.kind)
        return
    check(not act.soft, "select", f"one that learns for {act.kind!r}", select.kind)
    gradients = getattr(score, "gradients", False)
    expected = f"false for {select.kind!r}, which learns nothing"
    check(not gradients, "score.gradients", expected, gradients)
    expected = f"one that learns for {score.kind!r}, which learns from nothing else"
    check(not score.needs_teaching, "select", expected, select.kind)
