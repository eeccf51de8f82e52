"""A step of a plan: at these blocks, score so, select so, act so.

What can be wrong with one step alone is refused when it is made; what depends on the other steps,
or on the encoder's depth, when they are fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tersely.errors import PlanError
from tersely.reduction.actions import Action, DropTokens
from tersely.reduction.layers import INPUT, check_layers
from tersely.reduction.parts import Part
from tersely.reduction.scorers import Scorer
from tersely.reduction.selectors import Selector

__all__ = ["Step"]


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        act: what happens.
        layers: at which blocks: numbers from 0, fractions of the depth, a list of them,
            `{"start": …, "stop": …}` with `stop` left out of the range, or `"input"` for right
            after the embedding.
        score: how tokens are scored; None for actions that choose nothing.
        select: which tokens go; None for actions that choose nothing.
    """

    act: Action
    layers: Any
    score: Scorer | None = None
    select: Selector | None = None

    def __post_init__(self) -> None:
        check_layers(self.layers)
        if isinstance(self.layers, tuple):
            object.__setattr__(self, "layers", list(self.layers))  # as JSON gives it back
        if self.layers == INPUT:
            _check_input(self)
        needs = self.act.selects
        for name, part in (("score", self.score), ("select", self.select)):
            if needs and part is None:
                raise PlanError(f"{name} must be given for {self.act.kind!r}, got nothing")
            if not needs and part is not None:
                raise PlanError(f"{name} must be left out for {self.act.kind!r}, got {part.kind!r}")
        if needs:
            _check_outside(self)
        if needs and self.score.per_head and not self.act.keys_only:
            raise PlanError(
                f"score.heads must be 'mean' for {self.act.kind!r}, which takes a token from all "
                "heads at once, got 'each'"
            )
        if needs:
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
        """The step at the `number`-th (from 1) of its `count` blocks."""
        parts = {role: part.at_block(number, count) for role, part in self.parts.items()}
        return replace(self, **parts)

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON writes it."""
        data: dict[str, Any] = {"layers": self.layers, "act": self.act.to_dict()}
        if self.act.selects:
            data |= {"score": self.score.to_dict(), "select": self.select.to_dict()}
        return data

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Step:
        """Rebuild a step; errors name the field."""
        if not isinstance(data, dict):
            raise PlanError(f"{where} must be an object, got {data!r}")
        unknown = sorted(set(data) - {"layers", "act", "score", "select"})
        if unknown:
            raise PlanError(
                f"{where}.{unknown[0]} is not a field of a step; "
                "its fields are layers, score, select, act"
            )
        if "layers" not in data:
            raise PlanError(f"{where}.layers must be given, got nothing")
        parts = {
            name: kind.from_dict(data[name], f"{where}.{name}")
            for name, kind in (("act", Action), ("score", Scorer), ("select", Selector))
            if data.get(name) is not None or name == "act" and name in data
        }
        if "act" not in parts:
            raise PlanError(f"{where}.act must be given, got nothing")
        try:
            return cls(layers=data["layers"], **parts)
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


def _check_outside(step: Step) -> None:
    """Outside of a block there is no attention to ask; words count in training alone."""
    if step.act.training_only and (step.score.needs_block or step.score.learns):
        raise PlanError(
            "score must be one that needs no attention and learns nothing ('by-word', 'random', "
            f"'position') for {step.act.kind!r}, got {step.score.kind!r}"
        )
    if step.score.by_word and not step.act.training_only:
        raise PlanError(
            "score must not be 'by-word' for an action of a model in use, since words are counted "
            f"in training, got {step.act.kind!r}"
        )


def _check_input(step: Step) -> None:
    """Before the first block there is no attention to ask, and tokens can only leave for good."""
    if not isinstance(step.act, DropTokens):
        raise PlanError(f"act must be 'drop-tokens' at layers 'input', got {step.act.kind!r}")
    if step.learns:
        raise PlanError("parts at layers 'input' must not learn, got one that does")
    if step.score is not None and step.score.needs_block:
        raise PlanError(
            "score must be one that needs no attention ('position', 'random') at layers 'input', "
            f"got {step.score.kind!r}"
        )
