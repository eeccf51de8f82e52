"""A plan fitted to an encoder: which steps act at which of its blocks.

Fractions of the depth become blocks here, and steps that cannot stand beside each other are
refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tersely.errors import PlanError
from tersely.reduction.actions import Action, Combine
from tersely.reduction.layers import INPUT, resolve_layers
from tersely.reduction.patterns import Pattern
from tersely.reduction.step import Step

__all__ = ["Detour", "ResolvedPlan", "combining_action", "fit_steps"]

# Keys of each head stay in their places while no fewer than this share of a document's are left.
# Gathering them costs two passes over keys and values whatever is left, fewer places save a part of
# the attention: at keep=0.9, where 0.97 and 0.88 of the places were left at the next two blocks,
# `focus-pfc` brought 0.83 of what it saves to the clock with gathered keys and 0.86 with hidden
# ones (MiniLM-L6, 96 documents of 20 Newsgroups at 512 tokens, two Skylake cores, 2026-11-23).
_HIDE_FROM = 0.75


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
        combines all tokens), would be dropped from nothing: such a step is left out.
        """
        follows = layer + 1 < self.depth and layer + 1 != self.combining
        return [step for step in self.steps.get(layer, []) if follows or not step.act.keys_only]

    def hides_keys(self, layer: int) -> bool:
        """Whether each head's keys pay off hidden in their places, not gathered, at a block."""
        earlier = [step for number, own in self.steps.items() if number < layer for step in own]
        each = [step.select.least for step in earlier if step.act.keys_only and step.score.per_head]
        return math.prod(each) >= _HIDE_FROM


def combining_action(steps: tuple[Step, ...]) -> Combine | None:
    """The combining action, if one of the steps has it."""
    return next((step.act for step in steps if isinstance(step.act, Combine)), None)


def fit_steps(whole: tuple[Step, ...], depth: int) -> ResolvedPlan:
    """Fit the steps of a plan to an encoder of `depth` blocks; see `Plan.resolve`.

    Raises:
        PlanError: for blocks that the encoder does not have, and for steps that exclude each other.
    """
    if any(step.act.training_only for step in whole):
        return ResolvedPlan(depth, {}, None, None, detour=_detour(whole, depth))
    steps, patterns, replaced, skipped = _by_block(whole, depth)
    inputs = tuple(step.at_block(1, 1) for step in whole if step.layers == INPUT)
    if len(replaced) > 1:
        raise PlanError(f"a 'combine' step must name one block, got {sorted(replaced)}")
    combining, combine = next(iter(replaced), None), combining_action(whole)
    _check_single(steps)
    _check_keys(steps)
    _check_rows(steps, patterns)
    used = {*steps, *patterns}
    if combining is not None:
        _check_before(used, combining)
    _check_skipped(skipped, used | {*replaced})
    return ResolvedPlan(
        depth,
        steps,
        combining,
        combine,
        frozenset(skipped),
        inputs,
        whole,
        patterns=patterns,
    )


def _by_block(
    whole: tuple[Step, ...], depth: int
) -> tuple[dict[int, list[Step]], dict[int, Pattern], dict[int, Action], set[int]]:
    """The steps at each block, its pattern, the action in its place, and skipped blocks."""
    steps: dict[int, list[Step]] = {}
    patterns: dict[int, Pattern] = {}
    replaced: dict[int, Action] = {}
    skipped: set[int] = set()
    for number, step in enumerate(whole):
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


def _check_before(used: set[int], combining: int) -> None:
    """After the combining block, no embedded tokens are left to choose from."""
    late = [layer for layer in used if layer >= combining]
    if late:
        raise PlanError(
            f"steps must come before the combining block {combining}, after which only "
            f"combination tokens are left, got a step at block {min(late)}"
        )


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


def _check_keys(steps: dict[int, list[Step]]) -> None:
    """What the steps before have left of the keys must do for those that follow."""
    fewer = own = None  # the blocks from which on there are fewer keys, and each head has its own
    for layer in sorted(steps):
        act, score = steps[layer][0].act, steps[layer][0].score
        if own is not None and score is None:
            raise PlanError(
                f"act must be 'drop-keys' at block {layer}, since each head has had its own keys "
                f"from block {own} on, got {act.kind!r}"
            )
        if own is not None and not score.per_head:
            raise PlanError(
                f"score.heads must be 'each' at block {layer}, since each head has had its own "
                f"keys from block {own} on, got 'mean'"
            )
        if fewer is not None and not getattr(score, "diagonal", True):
            raise PlanError(
                f"score.diagonal must be true at block {layer}, since tokens have been no keys "
                f"from block {fewer} on, and pay nothing to themselves; got false"
            )
        if act.keys_only:
            fewer = layer if fewer is None else fewer
            own = layer if own is None and score.per_head else own
