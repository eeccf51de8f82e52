"""The plan: at these blocks, score so, select so, act so. It is a method, as data.

A plan is saved inside `config.json` under a version, checked when it is made, and resolved against
an encoder's depth when a model is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from laconic.errors import PlanError
from laconic.reduction.actions import Action, Combine, DropTokens
from laconic.reduction.layers import INPUT, check_layers, resolve_layers
from laconic.reduction.parts import Part
from laconic.reduction.patterns import Pattern
from laconic.reduction.scorers import Scorer
from laconic.reduction.selectors import Selector

__all__ = ["PLAN_VERSION", "Plan", "ResolvedPlan", "Step"]

PLAN_VERSION = 1


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


@dataclass(frozen=True)
class Plan:
    """Which tokens leave the computation, where, and how.

    Attributes:
        name: what to call it in reports; a preset's name, or any other.
        steps: the steps, in any order; one at most chooses tokens at each block.

    Example:
        >>> from laconic.reduction import preset
        >>> plan = preset("focus-pfc", keep=0.8)
        >>> Plan.from_dict(plan.to_dict()) == plan
        True
    """

    name: str
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        combining = [step for step in self.steps if isinstance(step.act, Combine)]
        if len(combining) > 1:
            raise PlanError(f"steps may hold one 'combine' at most, got {len(combining)}")
        learning = [step for step in self.steps if step.act.connects and step.act.learns]
        if len(learning) > 1:
            raise PlanError(f"steps may hold one learned pattern at most, got {len(learning)}")

    @property
    def combine(self) -> Combine | None:
        """The combining action, if the plan has one."""
        return next((s.act for s in self.steps if isinstance(s.act, Combine)), None)

    @property
    def is_dense(self) -> bool:
        """Whether nothing is removed where the model is used, whatever happens in training."""
        return all(step.act.training_only for step in self.steps)

    @property
    def learns(self) -> bool:
        """Whether any part learns."""
        return any(step.learns for step in self.steps)

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
        """The multiply-adds over the dense model's that its learned selectors aim at, if any do."""
        aims = [getattr(step.select, "target", None) for step in self.steps]
        return next((aim for aim in aims if aim is not None), None)

    @property
    def needs_saliency(self) -> bool:
        """Whether a scorer learns from the dense model's saliency."""
        return any(getattr(step.score, "saliency", 0) for step in self.steps)

    def aimed(self, target: float) -> Plan:
        """The same plan with its learned selectors aiming at a target."""
        return self._with_selectors(
            lambda select: select.aimed(target) if hasattr(select, "aimed") else select
        )

    def loosened(self, factor: float) -> Plan:
        """The same plan with more tokens that stay for a factor above 1, fewer for one below."""
        return self._with_selectors(lambda select: select.loosened(factor))

    def _with_selectors(self, change: Callable[[Selector], Selector]) -> Plan:
        steps = [
            step if step.select is None else replace(step, select=change(step.select))
            for step in self.steps
        ]
        return replace(self, steps=tuple(steps))

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON writes it, with its version."""
        steps = [step.to_dict() for step in self.steps]
        return {"version": PLAN_VERSION, "name": self.name, "steps": steps}

    @classmethod
    def from_dict(cls, data: Any) -> Plan:
        """Rebuild a plan.

        Raises:
            PlanError: naming the field that is wrong, or a version that is newer than this laconic.
        """
        if not isinstance(data, dict):
            raise PlanError(f"a plan must be an object, got {data!r}")
        version = data.get("version")
        if not isinstance(version, int) or version < 1:
            raise PlanError(f"plan.version must be {PLAN_VERSION}, got {version!r}")
        if version > PLAN_VERSION:
            raise PlanError(
                f"plan.version must be at most {PLAN_VERSION}, got {version!r}; "
                "a newer plan needs a newer laconic: pip install -U laconic"
            )
        unknown = sorted(set(data) - {"version", "name", "steps"})
        if unknown:
            raise PlanError(
                f"plan.{unknown[0]} is not a field of a plan; its fields are version, name, steps"
            )
        steps = data.get("steps")
        if not isinstance(steps, list):
            raise PlanError(f"plan.steps must be a list, got {steps!r}")
        made = [Step.from_dict(step, f"plan.steps[{i}]") for i, step in enumerate(steps)]
        name = data.get("name")
        if not isinstance(name, str) or not name:
            raise PlanError(f"plan.name must be a string, got {name!r}")
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
            PlanError: for a block that the encoder does not have, or a step at or after the
                combining one.
        """
        if any(step.act.training_only for step in self.steps):
            return ResolvedPlan(depth, {}, None, None, detour=_detour(self.steps, depth))
        steps, patterns, replaced, skipped = self._by_block(depth)
        inputs = tuple(step.at_block(1, 1) for step in self.steps if step.layers == INPUT)
        if len(replaced) > 1:
            raise PlanError(f"a 'combine' step must name one block, got {sorted(replaced)}")
        combining = next(iter(replaced), None)
        _check_single(steps)
        _check_heads(steps)
        _check_rows(steps, patterns)
        used = {*steps, *patterns}
        late = [layer for layer in used if combining is not None and layer >= combining]
        if late:
            raise PlanError(
                f"steps must come before the combining block {combining}, after which only "
                f"combination tokens are left, got a step at block {min(late)}"
            )
        if combining and self.combine.weigh and combining - 1 not in steps:
            raise PlanError(
                "weigh of a 'combine' step must be 0 unless a step chooses tokens at the block "
                f"before it, whose scores are the weights; got {self.combine.weigh:g} and no step "
                f"at block {combining - 1}"
            )
        _check_skipped(skipped, used | {*replaced})
        return ResolvedPlan(
            depth,
            steps,
            combining,
            self.combine,
            frozenset(skipped),
            inputs,
            self.steps,
            patterns=patterns,
        )

    def _by_block(
        self, depth: int
    ) -> tuple[dict[int, list[Step]], dict[int, Pattern], dict[int, Action], set[int]]:
        """The steps at each block, its pattern, the action in its place, and skipped blocks."""
        steps: dict[int, list[Step]] = {}
        patterns: dict[int, Pattern] = {}
        replaced: dict[int, Action] = {}
        skipped: set[int] = set()
        for number, step in enumerate(self.steps):
            if step.layers == INPUT:
                continue
            layers = resolve_layers(step.layers, depth, f"plan.steps[{number}].layers")
            if step.act.skips:
                skipped |= set(layers[step.act.kept(len(layers)) :])
                continue
            for place, layer in enumerate(layers, start=1):
                if step.act.replaces:
                    replaced[layer] = step.act
                elif step.act.connects:
                    _check_pattern(patterns.get(layer), step.act, layer)
                    patterns[layer] = step.act.at_block(place, len(layers))
                else:
                    steps.setdefault(layer, []).append(step.at_block(place, len(layers)))
        return steps, patterns, replaced, skipped


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
    if step.act.training_only and step.score.needs_block:
        raise PlanError(
            "score must be one that needs no attention ('by-word', 'random', 'position') for "
            f"{step.act.kind!r}, got {step.score.kind!r}"
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


def _detour(steps: tuple[Step, ...], depth: int) -> Detour:
    """The blocks that tokens miss in training, and come back after."""
    if len(steps) > 1:
        raise PlanError(f"steps must be one alone with 'set-aside', got {len(steps)}")
    (step,) = steps
    layers = resolve_layers(step.layers, depth, "plan.steps[0].layers")
    if not layers or layers != list(range(layers[0], layers[-1] + 1)) or layers[-1] == depth - 1:
        raise PlanError(
            "plan.steps[0].layers must be neighbouring blocks before the last one, where tokens "
            f"are back, got {layers} of {depth}"
        )
    return Detour(step, layers[0], layers[-1] + 1)


def _check_skipped(skipped: set[int], used: set[int]) -> None:
    """Blocks that are left out cannot do anything."""
    both = sorted(skipped & used)
    if both:
        raise PlanError(f"steps exclude each other at block {both[0]}: it is skipped")


def _check_single(steps: dict[int, list[Step]]) -> None:
    """Two choices in one block would have to be made in some order."""
    for layer, chosen in steps.items():
        if len(chosen) > 1:
            raise PlanError(
                f"steps may choose tokens once at each block, got {len(chosen)} steps at block "
                f"{layer}"
            )


def _check_pattern(one: Action | None, other: Action, layer: int) -> None:
    """One block has one pattern."""
    if one is not None:
        raise PlanError(
            f"steps may hold one pattern for each block, got {one.kind!r} and {other.kind!r} at "
            f"block {layer}; put them into one 'union'"
        )


def _check_rows(steps: dict[int, list[Step]], patterns: dict[int, Pattern]) -> None:
    """What [CLS] pays to a token says nothing where it does not see all of them."""
    for layer in sorted({*steps} & {*patterns}):
        score = steps[layer][0].score
        if score is not None and score.attention == "first" and not patterns[layer].cls:
            raise PlanError(
                f"steps exclude each other at block {layer}: {score.kind!r} scores by what [CLS] "
                f"pays, and under {patterns[layer].kind!r} with cls=false it does not see all"
            )


def _check_heads(steps: dict[int, list[Step]]) -> None:
    """Once each head has keys of its own, tokens can no longer be scored for all heads at once."""
    own_keys = None
    for layer in sorted(steps):
        score = steps[layer][0].score
        if score is None:
            continue
        if own_keys is not None and not score.per_head:
            raise PlanError(
                f"score.heads must be 'each' at block {layer}, since each head has had its own "
                f"keys from block {own_keys} on, got 'mean'"
            )
        if score.per_head and own_keys is None:
            own_keys = layer


@dataclass(frozen=True)
class Detour:
    """A step of training only: its losers miss the blocks from `start` to before `stop`."""

    step: Step
    start: int
    stop: int


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan fitted to an encoder's depth.

    Attributes:
        depth: blocks of the encoder.
        steps: the steps at each block that has any.
        combining: the block that is replaced, or None.
        combine: the action in its place.
        skipped: the blocks that are left out.
        inputs: the steps right after the embedding.
        whole: the plan's steps as they were before they were fitted.
        detour: what tokens miss in training, or None.
        patterns: the pattern of each block that has one.
    """

    depth: int
    steps: dict[int, list[Step]]
    combining: int | None
    combine: Combine | None
    skipped: frozenset[int] = frozenset()
    inputs: tuple[Step, ...] = ()
    whole: tuple[Step, ...] = ()
    detour: Detour | None = None
    patterns: dict[int, Pattern] = field(default_factory=dict)

    @property
    def learns(self) -> bool:
        """Whether any part learns."""
        return any(step.learns for step in self.whole)

    def at(self, layer: int) -> list[Step]:
        """The steps at a block that can still change something.

        Keys that are dropped at the last block, or at the one before the combining module (which
        combines all tokens), would be dropped from nothing: such a step is left out, unless what it
        chose by is what the combining module weighs tokens with.
        """
        weighs = self.combine is not None and self.combine.weigh > 0
        follows = layer + 1 < self.depth and (layer + 1 != self.combining or weighs)
        return [step for step in self.steps.get(layer, []) if follows or not step.act.keys_only]
