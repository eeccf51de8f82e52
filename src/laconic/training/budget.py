"""From a target for the multiply-adds to the setting of a method that reaches it.

A target is multiply-adds over those of the dense model without padding, on the same documents. What
a setting costs is counted by running it on some of them, so that it holds for every method, whether
its counts follow from lengths alone or from scores. Each preset has one option that moves its cost
(`budget_option`): a share, searched by bisection, or a block, of which the nearest is taken.
A method that learns aims at its target in training; one common factor on what it starts from, and
another on what it learned, land on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from laconic.encoding import EncodedDocuments
from laconic.errors import PlanError
from laconic.inference import run_model
from laconic.model import LaconicForSequenceClassification, with_plan
from laconic.reduction import Plan, budget_option, preset

__all__ = ["landed", "plan_for_target"]

# How near a share has to bring the cost, relative to the target.
_NEAR = 0.01
_STEPS = 12
# Most doublings of a factor.
_DOUBLINGS = 16


def plan_for_target(
    model: LaconicForSequenceClassification,
    method: str,
    options: Mapping[str, Any],
    target: float,
    encoded: EncodedDocuments,
    *,
    dense_multiply_adds: float | None = None,
    batch_tokens: int = 4096,
) -> Plan:
    """Find the setting of a method whose multiply-adds reach a target.

    Args:
        model: the model for whose scores the setting is right: a dense one, or one with all blocks.
        method: a preset's name.
        options: its other options.
        target: multiply-adds over the dense model's, between 0 and 1.
        encoded: documents to count on.
        dense_multiply_adds: what the dense model takes for them; None if `model` is dense.
        batch_tokens: tokens of a packed batch.

    Returns:
        The plan: within 1 % of the target where tokens leave by shares, the nearest one where whole
        blocks are moved; one that aims at the target where it learns, see `landed`.

    Raises:
        PlanError: if the method has no such option, it is given in `options` too, or no setting
            reaches the target; the message says which can be reached.
    """
    if not 0 < target < 1:
        raise PlanError(f"target_flops must be a number between 0 and 1, got {target!r}")
    name, values = budget_option(method, model.config.encoder_config.num_hidden_layers)
    if name in options:
        raise PlanError(
            f"{name} must be left out where target_flops sets it, got {options[name]!r}"
        )
    if name == "target":
        return preset(method, **options).aimed(target)
    whole = dense_multiply_adds or run_model(model, encoded, batch_tokens).multiply_adds

    @cache
    def cost(value: float) -> float:
        planned = with_plan(model, preset(method, **options, **{name: value}))
        return run_model(planned, encoded, batch_tokens).multiply_adds / whole

    value = _nearest(cost, values, target) if len(values) > 2 else _bisect(cost, *values, target)
    if value is None:
        ends = sorted(cost(end) for end in (values[0], values[-1]))
        raise PlanError(
            f"target_flops must be between {ends[0]:.2f} and {ends[1]:.2f} for {method!r} on these "
            f"documents, got {target:g}"
        )
    return preset(method, **options, **{name: value})


def landed(
    model: LaconicForSequenceClassification,
    plan: Plan,
    target: float,
    encoded: EncodedDocuments,
    *,
    dense_multiply_adds: float,
    batch_tokens: int = 4096,
) -> Plan:
    """Loosen or tighten a plan by one common factor until it takes the target.

    Args:
        model: the model for whose scores it is right, with what its plan has learned.
        plan: a plan that is adjustable.
        target: multiply-adds over the dense model's.
        encoded: documents to count on.
        dense_multiply_adds: what the dense model takes for them.
        batch_tokens: tokens of a packed batch.

    Returns:
        The plan, within 1 % of the target unless scores are too coarse for that; itself if it is
        there already.

    Raises:
        PlanError: if no factor reaches the target; the message says which can be reached.
    """

    @cache
    def cost(doublings: float) -> float:
        planned = with_plan(model, plan.loosened(2.0**doublings))
        return run_model(planned, encoded, batch_tokens).multiply_adds / dense_multiply_adds

    reached = cost(0)
    if abs(reached - target) <= _NEAR * target:
        return plan
    # Away from no change, since what was learned is near as a rule.
    step = 1.0 if reached < target else -1.0
    near, far = 0.0, step
    while (cost(far) < target) == (step > 0):
        if abs(far) >= _DOUBLINGS:
            end = cost(far)
            word = "most" if step > 0 else "least"
            raise PlanError(
                f"target_flops must be at {word} {end:.2f} for {plan.name!r} on these documents, "
                f"got {target:g}"
            )
        near, far = far, 2 * far
    found = _bisect(cost, *sorted((near, far)), target)
    return plan.loosened(2.0 ** (near if found is None else found))


def _bisect(cost: Callable[[float], float], low: float, high: float, target: float) -> float | None:
    """A value between two ends of a range, along which the cost rises or falls."""
    rises = cost(high) > cost(low)
    ends = (cost(low), cost(high))
    if not min(ends) * (1 - _NEAR) <= target <= max(ends) * (1 + _NEAR):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        reached = cost(middle)
        if abs(reached - target) <= _NEAR * target:
            break
        if (reached < target) == rises:
            low = middle
        else:
            high = middle
    return middle


def _nearest(
    cost: Callable[[float], float], values: tuple[float, ...], target: float
) -> float | None:
    """The value that comes nearest, None if the target is outside of what they reach."""
    costs = {value: cost(value) for value in values}
    if not min(costs.values()) * (1 - _NEAR) <= target <= max(costs.values()) * (1 + _NEAR):
        return None
    return min(values, key=lambda value: abs(costs[value] - target))
