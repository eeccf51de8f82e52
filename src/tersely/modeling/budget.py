"""From a target for the MACs to the setting of a method that reaches it.

A target is MACs over those of the dense model without padding, on the same documents. What a
setting costs is counted by running it on some of them, so that it holds for every method. Each
preset has one option that moves its cost (`budget_option`): a share, searched by bisection, or a
block, of which the nearest is taken. A method that learns aims at its target in training; one
common factor on what it starts from, and another on what it learned, land on it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tersely.errors import PlanError, warn
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import run_model
from tersely.reduction import Plan, Range, budget_option, has_share, plan_share, preset, with_share
from tersely.reduction.parts import check
from tersely.text.encoding import EncodedDocuments

_NEAR = 0.01  # how near a share has to bring the cost, relative to the target
_FAR = 0.05  # how far a block may land from it before that is said
_STEPS = 12
_DOUBLINGS = 16  # of a factor, at most


def spread(documents: int, count: int) -> list[int]:
    """Return the numbers of at most `count` documents, evenly spread over all of them."""
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
    """Find the setting of a method whose MACs reach a target, a share of the dense model's.

    The plan is within 1 % of the target on the encoded documents where tokens leave by shares, the
    nearest one where whole blocks are moved, with a warning where that is more than 5 % away; one
    that aims at the target where it learns, see `landed`. The setting is right for the scores of
    `model`; it is dense itself where `dense_macs` is None. A PlanError says which targets can be
    reached.
    """
    check(0 < target < 1, "target_flops", "a number between 0 and 1", target)
    name, values = budget_option(method, model.config.encoder_config.num_hidden_layers)
    if name in options:
        given = f"{name}={options[name]!r}"
        raise PlanError(f"target_flops chooses {name}, got {given} as well; leave one of them out")
    if name == "target":
        return preset(method, **options).aimed(target)
    whole = dense_macs or run_model(model, encoded, batch_tokens).macs

    def planned(value: float) -> Plan:
        return preset(method, **options, **{name: value})

    cost = _counted(model, planned, encoded, whole, batch_tokens)
    return planned(_reach(cost, values, target, "target_flops", method))


def plan_for_budget(
    model: TerselyForSequenceClassification,
    budget: float,
    encoded: EncodedDocuments,
    batch_tokens: int = 4096,
) -> Plan:
    """Find the share at which a trained model reaches a budget, without training it again.

    Where a method has learned a number for each block, one common factor changes them all. The
    budget is MACs over those of the model's own blocks without any removal. A PlanError says which
    budgets can be reached.
    """
    check(0 < budget < 1, "budget", "a number between 0 and 1", budget)
    plan = model.config.reduction_plan()
    factor = not has_share(plan) and plan.is_adjustable
    name, _, values = ("", 0, ()) if factor else plan_share(plan, model.plan.depth)
    whole = run_model(model.under_plan(preset("dense")), encoded, batch_tokens).macs
    if factor:
        return landed(model, plan, budget, encoded, whole, batch_tokens, field="budget")

    def planned(value: float) -> Plan:
        return with_share(plan, **{name: value})

    cost = _counted(model, planned, encoded, whole, batch_tokens)
    return planned(_reach(cost, values, budget, "budget", plan.name))


def landed(
    model: TerselyForSequenceClassification,
    plan: Plan,
    target: float,
    encoded: EncodedDocuments,
    dense_macs: float,
    batch_tokens: int = 4096,
    field: str = "target_flops",
) -> Plan:
    """Loosen or tighten an adjustable plan by one common factor until it takes the target.

    It is within 1 % then, unless scores are too coarse for that; `field` names the target in the
    PlanError of one that cannot be reached.
    """
    cost = _counted(model, lambda n: plan.loosened(2.0**n), encoded, dense_macs, batch_tokens)
    if abs(cost(0.0) - target) <= _NEAR * target:
        return plan
    # Away from no change, since what was learned is near as a rule.
    near, far = 0.0, 1.0 if cost(0.0) < target else -1.0
    while (cost(far) < target) == (far > 0):
        if abs(far) >= _DOUBLINGS:
            end = f"at {'most' if far > 0 else 'least'} {cost(far):.2f} for {plan.name!r}"
            raise PlanError(f"{field} must be {end} on these documents, got {target:g}")
        near, far = far, 2 * far
    found = _bisect(cost, Range(min(near, far), max(near, far)), target)
    return plan.loosened(2.0**found)


def _counted(
    model: TerselyForSequenceClassification,
    planned: Callable[[float], Plan],
    encoded: EncodedDocuments,
    dense_macs: float,
    batch_tokens: int,
) -> Callable[[float], float]:
    """The cost of a number: the MACs under its plan over the dense model's."""

    @functools.cache
    def cost(value: float) -> float:
        plan = planned(value)
        try:
            put = model.under_plan(plan)
        except PlanError:  # a module is lacking, and the weights have to be copied
            put = with_plan(model, plan)
        return run_model(put, encoded, batch_tokens).macs / dense_macs

    return cost


def _reach(
    cost: Callable[[float], float], values: Range | tuple, target: float, field: str, method: str
) -> float:
    """The value whose cost is the target, or comes nearest; an error says what can be reached."""
    # A range is given by its ends, a tuple lists its values.
    low, high = min(map(cost, values)), max(map(cost, values))
    if not low * (1 - _NEAR) <= target <= high * (1 + _NEAR):
        ends = f"between {low:.2f} and {high:.2f} for {method!r}"
        raise PlanError(f"{field} must be {ends} on these documents, got {target:g}")
    if isinstance(values, Range):
        value = _bisect(cost, values, target)
    else:
        value = min(values, key=lambda value: abs(cost(value) - target))
    if abs(cost(value) - target) > _FAR * target:
        nearest = f"the nearest that {method!r} reaches on these documents is {cost(value):.2f}"
        warn(f"{field} is {target:g}, but {nearest}, which is used", stacklevel=3)
    return value


def _bisect(cost: Callable[[float], float], ends: Range, target: float) -> float:
    low, high = ends
    rises = cost(high) > cost(low)
    best = min((low, high), key=lambda value: abs(cost(value) - target))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        # Counts are whole numbers: in short documents, the last step is not always the nearest.
        best = min((best, middle), key=lambda value: abs(cost(value) - target))
        if abs(cost(middle) - target) <= _NEAR * target:
            break
        if (cost(middle) < target) == rises:
            low = middle
        else:
            high = middle
    return best
