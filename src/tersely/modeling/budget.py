"""From a target for the MACs to the setting of a method that reaches it.

A target is MACs over those of the dense model without padding, on the same documents. What
a setting costs is counted by running it on some of them, so that it holds for every method, whether
its counts follow from lengths alone or from scores. Each preset has one option that moves its cost
(`budget_option`): a share, searched by bisection, or a block, of which the nearest is taken.
A method that learns aims at its target in training; one common factor on what it starts from, and
another on what it learned, land on it. A trained model is put to another budget in the same way,
with its own weights.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tersely.errors import PlanError, TerselyWarning
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import run_model
from tersely.reduction import Plan, Range, budget_option, has_share, plan_share, preset, with_share
from tersely.text.encoding import EncodedDocuments

__all__ = ["landed", "plan_for_budget", "plan_for_target", "reachable_budgets", "spread"]

# How near a share has to bring the cost, relative to the target.
_NEAR = 0.01
# How far a block may land from it before that is said.
_FAR = 0.05
_STEPS = 12
# Most doublings of a factor.
_DOUBLINGS = 16


def spread(documents: int, count: int) -> list[int]:
    """The numbers of some documents to count on, evenly spread over all of them.

    Args:
        documents: how many there are.
        count: how many to take; all where there are fewer.

    Example:
        >>> spread(9, 3), spread(2, 3)
        ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, documents - 1, min(count, documents)).astype(int).tolist()


def plan_for_target(
    model: TerselyForSequenceClassification,
    method: str,
    options: Mapping[str, Any],
    target: float,
    encoded: EncodedDocuments,
    *,
    dense_macs: float | None = None,
    batch_tokens: int = 4096,
) -> Plan:
    """Find the setting of a method whose MACs reach a target.

    Args:
        model: the model for whose scores the setting is right: a dense one, or one with all blocks.
        method: a preset's name.
        options: its other options.
        target: MACs over the dense model's, between 0 and 1.
        encoded: documents to count on.
        dense_macs: what the dense model takes for them; None if `model` is dense.
        batch_tokens: tokens of a packed batch.

    Returns:
        The plan: within 1 % of the target where tokens leave by shares, the nearest one where whole
        blocks are moved, with a warning where that is more than 5 % away; one that aims at the
        target where it learns, see `landed`.

    Raises:
        PlanError: if the method has no such option, it is given in `options` too, or no setting
            reaches the target; the message says which can be reached.
    """
    _check(target, "target_flops")
    name, values = budget_option(method, model.config.encoder_config.num_hidden_layers)
    if name in options:
        raise PlanError(
            f"{name} must be left out where target_flops sets it, got {options[name]!r}"
        )
    if name == "target":
        return preset(method, **options).aimed(target)
    whole = dense_macs or run_model(model, encoded, batch_tokens).macs

    def planned(value: float) -> Plan:
        return preset(method, **options, **{name: value})

    def cost(value: float) -> float:
        return run_model(_put(model, planned(value)), encoded, batch_tokens).macs / whole

    return planned(_reach(cost, values, target, "target_flops", method))


def plan_for_budget(
    model: TerselyForSequenceClassification,
    budget: float,
    encoded: EncodedDocuments,
    batch_tokens: int = 4096,
) -> Plan:
    """Find the share at which a trained model reaches a budget, without training it again.

    Where a method has learned a number for each block, one common factor changes them all.

    Args:
        model: the trained model; its plan has a share (see `tersely.reduction.plan_share`), or is
            adjustable.
        budget: MACs over those of its own blocks without any removal, between 0 and 1.
        encoded: documents to count on.
        batch_tokens: tokens of a packed batch.

    Returns:
        The model's plan with the share that comes within 1 % of the budget on these documents, or
        nearest where they are too short for that.

    Raises:
        PlanError: if the plan has no share, the model cannot run dense to count the whole, or no
            share reaches the budget; the message says which can be reached.
    """
    _check(budget, "budget")
    plan = model.config.reduction_plan()
    if not has_share(plan) and plan.is_adjustable:
        whole = run_model(model.under_plan(preset("dense")), encoded, batch_tokens).macs
        return landed(
            model,
            plan,
            budget,
            encoded,
            dense_macs=whole,
            batch_tokens=batch_tokens,
            field="budget",
        )
    name, _, values = plan_share(plan, model.plan.depth)
    whole = run_model(model.under_plan(preset("dense")), encoded, batch_tokens).macs

    def cost(value: float) -> float:
        shared = model.under_plan(with_share(plan, **{name: value}))
        return run_model(shared, encoded, batch_tokens).macs / whole

    return with_share(plan, **{name: _reach(cost, values, budget, "budget", plan.name)})


def reachable_budgets(
    model: TerselyForSequenceClassification, encoded: EncodedDocuments, batch_tokens: int = 4096
) -> tuple[float, float]:
    """The least and the most that `plan_for_budget` reaches on some documents.

    Args:
        model: as for `plan_for_budget`.
        encoded: documents to count on.
        batch_tokens: tokens of a packed batch.

    Raises:
        PlanError: if the plan has no share, or the model cannot run dense to count the whole.
    """
    plan = model.config.reduction_plan()
    if not has_share(plan) and plan.is_adjustable:
        ends = [plan.loosened(2.0**doublings) for doublings in (-_DOUBLINGS, _DOUBLINGS)]
    else:
        name, _, values = plan_share(plan, model.plan.depth)
        ends = [with_share(plan, **{name: value}) for value in (values[0], values[-1])]
    costs = [
        run_model(model.under_plan(each), encoded, batch_tokens).macs
        for each in (preset("dense"), *ends)
    ]
    least, most = sorted(cost / costs[0] for cost in costs[1:])
    return least, most


def _check(target: float, field: str) -> None:
    if not 0 < target < 1:
        raise PlanError(f"{field} must be a number between 0 and 1, got {target!r}")


def _put(model: TerselyForSequenceClassification, plan: Plan) -> TerselyForSequenceClassification:
    """The model under the plan: with its own weights, or copies where it lacks a module."""
    try:
        return model.under_plan(plan)
    except PlanError:
        return with_plan(model, plan)


def _reach(
    cost: Callable[[float], float],
    values: Range | tuple[float, ...],
    target: float,
    field: str,
    method: str,
) -> float:
    """The value whose cost is the target; an error says what can be reached."""
    costs = functools.cache(cost)
    search = _bisect if isinstance(values, Range) else _nearest
    value = search(costs, values, target)
    if value is None:
        ends = sorted(costs(end) for end in (values[0], values[-1]))
        raise PlanError(
            f"{field} must be between {ends[0]:.2f} and {ends[1]:.2f} for {method!r} on these "
            f"documents, got {target:g}"
        )
    if abs(costs(value) - target) > _FAR * target:
        warnings.warn(
            f"{field} is {target:g}, and {method!r}, which moves whole blocks, comes no nearer "
            f"than {costs(value):.2f} on these documents",
            TerselyWarning,
            stacklevel=3,
        )
    return value


def landed(
    model: TerselyForSequenceClassification,
    plan: Plan,
    target: float,
    encoded: EncodedDocuments,
    *,
    dense_macs: float,
    batch_tokens: int = 4096,
    field: str = "target_flops",
) -> Plan:
    """Loosen or tighten a plan by one common factor until it takes the target.

    Args:
        model: the model for whose scores it is right, with what its plan has learned.
        plan: a plan that is adjustable.
        target: MACs over the dense model's.
        encoded: documents to count on.
        dense_macs: what the dense model takes for them.
        batch_tokens: tokens of a packed batch.
        field: what the target is called in messages.

    Returns:
        The plan, within 1 % of the target unless scores are too coarse for that; itself if it is
        there already.

    Raises:
        PlanError: if no factor reaches the target; the message says which can be reached.
    """

    @functools.cache
    def cost(doublings: float) -> float:
        planned = _put(model, plan.loosened(2.0**doublings))
        return run_model(planned, encoded, batch_tokens).macs / dense_macs

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
                f"{field} must be at {word} {end:.2f} for {plan.name!r} on these documents, "
                f"got {target:g}"
            )
        near, far = far, 2 * far
    found = _bisect(cost, Range(min(near, far), max(near, far)), target)
    return plan.loosened(2.0 ** (near if found is None else found))


def _bisect(cost: Callable[[float], float], ends: Range, target: float) -> float | None:
    """A value between two ends of a range, along which the cost rises or falls."""
    low, high = ends
    rises = cost(high) > cost(low)
    costs = (cost(low), cost(high))
    if not min(costs) * (1 - _NEAR) <= target <= max(costs) * (1 + _NEAR):
        return None
    best = min((low, high), key=lambda value: abs(cost(value) - target))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        reached = cost(middle)
        # Counts are whole numbers: in short documents, the last step is not always the nearest.
        best = min((best, middle), key=lambda value: abs(cost(value) - target))
        if abs(reached - target) <= _NEAR * target:
            break
        if (reached < target) == rises:
            low = middle
        else:
            high = middle
    return best


def _nearest(
    cost: Callable[[float], float], values: tuple[float, ...], target: float
) -> float | None:
    """The value that comes nearest, None if the target is outside of what they reach."""
    costs = {value: cost(value) for value in values}
    if not min(costs.values()) * (1 - _NEAR) <= target <= max(costs.values()) * (1 + _NEAR):
        return None
    return min(values, key=lambda value: abs(costs[value] - target))
