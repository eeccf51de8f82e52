"""The plan: at these blocks, score so, select so, act so. It is a method, as data.

A plan is saved inside `config.json` under a version, checked when it is made, and resolved against
an encoder's depth when a model is built: fractions of the depth become blocks, and steps that
cannot stand beside each other are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tersely.errors import PlanError
from tersely.reduction.actions import Action
from tersely.reduction.parts import check, check_names
from tersely.reduction.patterns import Pattern
from tersely.reduction.selectors import Selector
from tersely.reduction.step import INPUT, Step, resolve_blocks

PLAN_VERSION = 2

# Keys of each head stay in their places while no fewer than this share of a document's are left:
# gathering them costs two passes over keys and values, fewer places save a part of the attention.
# At keep=0.9 `focus-pfc` brought 0.83 of what it saves to the clock with gathered keys, 0.86 with
# hidden ones (MiniLM-L6, 20 Newsgroups at 512 tokens, two Skylake cores, 2026-11-23).
_HIDE_FROM = 0.75


@dataclass(frozen=True)
class Stage:
    """One stage of a training run; its record and its checkpoints go by its name.

    Attributes:
        share: of the steps that are left; None for as many as the run has, without a teacher and
            without a choice of the best epoch: what it learns prepares what comes.
        token_targets: a figure for each token that its modules learn from, computed beforehand from
            a dense model in evaluation mode, a packed batch and its labels: `(tokens,)`.
    """

    name: str
    plan: Plan | None = None  # None for the run's as it stands by then
    share: float | None = None
    learned_only: bool = False  # the encoder stays as it is
    token_targets: Callable[[Any, dict[str, Tensor], Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Plan:
    """Which tokens leave the computation, where, and how.

    Attributes:
        name: what to call it in reports; a preset's name, or any other.
        steps: in any order; one at most chooses tokens at each block.

    Example:
        >>> from tersely.reduction import preset
        >>> plan = preset("focus-pfc", keep=0.8)
        >>> Plan.from_dict(plan.to_dict()) == plan
        True
    """

    name: str
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        replacing = [step.act.kind for step in self.steps if step.act.acts == "block"]
        if len(replacing) > 1:
            raise PlanError(f"a plan may have one {replacing[0]!r} step, got {len(replacing)}")
        learning = [step for step in self.steps if step.learns]
        for what, found in (
            ("with a learned pattern", [step for step in learning if step.act.acts == "attention"]),
            ("that learns at the input", [step for step in learning if step.blocks == INPUT]),
        ):
            if len(found) > 1:
                raise PlanError(f"a plan may have one step {what}, got {len(found)}")

    @property
    def is_dense(self) -> bool:
        """Whether nothing is removed."""
        return not self.steps

    @property
    def learns(self) -> bool:
        """Whether any part learns."""
        return any(step.learns for step in self.steps)

    @property
    def is_randomised(self) -> bool:
        """Whether training draws shares of it at random, so that the weights do without it too."""
        return any(step.is_randomised for step in self.steps)

    @property
    def needs_linear(self) -> bool:
        """Whether some scorer asks the linear stage beside the encoder."""
        return any(step.score is not None and step.score.needs_linear for step in self.steps)

    @property
    def is_new_to_learn(self) -> bool:
        """Whether it brings modules of its own, which learn best from a model that was trained."""
        return self.learns or any(step.act.acts == "block" for step in self.steps)

    @property
    def keeps_tokens(self) -> bool:
        """Whether what reaches the head are tokens of the document, [CLS] first."""
        return all(step.act.keeps_tokens for step in self.steps)

    @property
    def is_soft(self) -> bool:
        """Whether some step only fades tokens, so that a stage that drops them has to follow."""
        return any(step.act.soft for step in self.steps)

    @property
    def is_adjustable(self) -> bool:
        """Whether `loosened` changes how many tokens stay."""
        return any(step.select is not None and step.select.is_adjustable for step in self.steps)

    @property
    def target(self) -> float | None:
        """The MACs over the dense model's that its learned selectors aim at, if any do."""
        aims = [step.select.target for step in self.steps if step.select is not None]
        return next((aim for aim in aims if aim is not None), None)

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages of training under this plan, in their order; the last is its own."""
        parts = [part for step in self.steps for part in step.parts.values()]
        before = {stage.name: stage for part in parts for stage in part.stages(self)}
        return (*before.values(), Stage("plan"))

    def aimed(self, target: float) -> Plan:
        """Return the same plan with its learned selectors aiming at a target."""
        return self._with_selectors(lambda select: select.aimed(target))

    def loosened(self, factor: float) -> Plan:
        """Return the plan with more tokens that stay for a factor above 1, fewer for one below."""
        return self._with_selectors(lambda select: select.loosened(factor))

    def _with_selectors(self, change: Callable[[Selector], Selector]) -> Plan:
        chosen = ((step, step.select and change(step.select)) for step in self.steps)
        return replace(self, steps=tuple(replace(step, select=part) for step, part in chosen))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON writes it, with its version."""
        steps = [step.to_dict() for step in self.steps]
        return {"version": PLAN_VERSION, "name": self.name, "steps": steps}

    @classmethod
    def from_dict(cls, data: Any) -> Plan:
        """Rebuild a plan.

        Raises:
            PlanError: naming the field that is wrong, or a version that this tersely does not read.
        """
        check(isinstance(data, dict), "a plan", "an object", data)
        version, steps, name = (data.get(field) for field in ("version", "steps", "name"))
        if version != PLAN_VERSION:
            hint = "write a plan of version 0.1 again, with 'blocks' instead of 'layers'"
            if isinstance(version, int) and version > PLAN_VERSION:
                hint = "a newer plan needs a newer tersely"
            raise PlanError(f"plan.version must be {PLAN_VERSION}, got {version!r}; {hint}")
        check_names(data, ("version", "name", "steps"), "plan", "a plan")
        check(isinstance(steps, list), "plan.steps", "a list", steps)
        check(isinstance(name, str) and bool(name), "plan.name", "a string", name)
        made = [Step.from_dict(step, f"plan.steps[{i}]") for i, step in enumerate(steps)]
        return cls(name, tuple(made))

    @classmethod
    def from_file(cls, path: str | Path) -> Plan:
        """Read a plan from a JSON file."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise PlanError(f"the plan {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise PlanError(f"the plan {path} is not valid JSON: {error}") from None
        return cls.from_dict(data)

    def resolve(self, depth: int) -> ResolvedPlan:
        """Fit the plan to an encoder of `depth` blocks.

        Raises:
            PlanError: for a block that the encoder does not have, and for steps that exclude each
                other.
        """
        inputs = tuple(step.at_block(1, 1) for step in self.steps if step.blocks == INPUT)
        resolved = ResolvedPlan(depth, self.steps, inputs=inputs)
        for number, step in enumerate(self.steps):
            if step.blocks != INPUT:
                _place(step, resolved, f"plan.steps[{number}].blocks")
        _check_keys(resolved)
        _check_replaced(resolved)
        return resolved


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan fitted to an encoder of `depth` blocks."""

    depth: int
    whole: tuple[Step, ...] = ()  # the plan's steps as they were before they were fitted
    steps: dict[int, Step] = field(default_factory=dict)  # by block, where tokens are acted on
    patterns: dict[int, Pattern] = field(default_factory=dict)
    replaced: dict[int, Action] = field(default_factory=dict)  # what stands in a block's place
    skipped: set[int] = field(default_factory=set)
    inputs: tuple[Step, ...] = ()  # right after the embedding

    @property
    def learns(self) -> bool:
        """Whether any part learns."""
        return any(step.learns for step in self.whole)

    def at(self, block: int) -> list[Step]:
        """Return the step at a block, if there is one that can still change something.

        Keys that are dropped at the last block, or at the one before a module in a block's place
        (which takes all tokens), would be dropped from nothing: such a step is left out.
        """
        step = self.steps.get(block)
        follows = block + 1 < self.depth and block + 1 not in self.replaced
        return [] if step is None or step.act.acts == "keys" and not follows else [step]

    def hides_keys(self, block: int) -> bool:
        """Whether each head's keys pay off hidden in their places, not gathered, at a block."""
        earlier = [step for number, step in self.steps.items() if number < block]
        per_head = [step for step in earlier if step.act.acts == "keys" and step.score.per_head]
        return math.prod(step.select.share_left for step in per_head) >= _HIDE_FROM


def _place(step: Step, plan: ResolvedPlan, where: str) -> None:
    blocks, act = resolve_blocks(step.blocks, plan.depth, where), step.act
    if act.acts == "depth":
        plan.skipped.update(blocks[act.kept(len(blocks)) :])
        return
    if act.acts == "block" and len(blocks) > 1:
        raise PlanError(f"a {act.kind!r} step must name one block, got {blocks}")
    for place, block in enumerate(blocks, start=1):
        own = step.at_block(place, len(blocks))
        if act.acts == "block":
            plan.replaced[block] = own.act
        elif act.acts == "attention":
            if block in plan.patterns:
                both = f"{plan.patterns[block].kind!r} and {act.kind!r} at block {block}"
                raise PlanError(f"a block may have one pattern, got {both}; make them one 'union'")
            plan.patterns[block] = own.act
        elif block in plan.steps:  # two choices would have to be made in some order
            raise PlanError(f"only one step may choose tokens at a block, got 2 at block {block}")
        else:
            plan.steps[block] = own


def _check_replaced(plan: ResolvedPlan) -> None:
    """Where a block is replaced or left out, and after it, other steps find nothing to act on."""
    used = {*plan.steps, *plan.patterns}
    for block, act in plan.replaced.items():
        late = [other for other in used if other >= block]
        if late:
            told = f"it leaves no tokens to the one at block {min(late)}; move that before it"
            raise PlanError(f"{act.kind!r} at block {block} must be the last step: {told}")
    both = sorted(plan.skipped & (used | {*plan.replaced}))
    if both:
        raise PlanError(f"block {both[0]} is skipped, so no other step may be there; remove one")


def _check_keys(plan: ResolvedPlan) -> None:
    """Refuse scores that the keys that are left, of each head its own, cannot give."""
    fewer = own = None  # the blocks from which on there are fewer keys, and each head has its own
    for block, step in sorted(plan.steps.items()):
        act, score = step.act, step.score
        if own is not None:
            each = f"since each head has had its own keys from block {own} on"
            check(score is not None, "act", f"'drop-keys' at block {block}, {each}", act.kind)
            check(score.per_head, "score.heads", f"'each' at block {block}, {each}", "mean")
        if fewer is not None:
            expected = (
                f"true at block {block}, since the tokens dropped as keys from block {fewer} on "
                "pay no attention to themselves"
            )
            check(getattr(score, "diagonal", True), "score.diagonal", expected, False)
        if act.acts == "keys":
            fewer = block if fewer is None else fewer
            own = block if own is None and score.per_head else own
