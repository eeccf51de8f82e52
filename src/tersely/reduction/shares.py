"""The share of a plan: the one number in it that moves what a trained model costs.

`keep`, `ratio` and `threshold` change nothing about a model's weights, so that a trained model can
be run at other values of them. The number is found and set in the plan's parts, whatever preset or
file the plan came from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from tersely.errors import PlanError
from tersely.reduction.layers import INPUT, resolve_layers
from tersely.reduction.parts import Part
from tersely.reduction.plan import Plan
from tersely.reduction.presets import Range, budget_ranges
from tersely.reduction.step import Step

__all__ = ["has_share", "name_untrained", "plan_share", "with_share"]


def plan_share(plan: Plan, depth: int) -> tuple[str, float, Range | tuple[float, ...]]:
    """The share of a plan.

    Args:
        plan: the plan.
        depth: blocks of the encoder.

    Returns:
        Its name, its value (that of the first step that has it), and the `Range` in which it makes
        sense; a plain tuple of all values that differ where whole blocks are left out.

    Raises:
        PlanError: if no step has one.

    Example:
        >>> from tersely.reduction import preset
        >>> plan_share(preset("tome"), 12)
        ('ratio', 0.2, Range(low=0.0, high=0.5))
    """
    for step in plan.steps:
        # What happens in training alone costs a trained model nothing.
        for part in () if step.act.training_only else (step.select, step.act):
            for name, ends in budget_ranges().items():
                if not _has(part, name):
                    continue
                if step.act.skips and step.layers != INPUT:
                    blocks = len(resolve_layers(step.layers, depth))
                    ends = tuple(count / blocks for count in range(1, blocks + 1))
                return name, getattr(part, name), ends
    raise PlanError(
        f"the plan must have one of {', '.join(budget_ranges())} for a budget, got "
        f"{plan.name!r}, which has none"
    )


def has_share(plan: Plan) -> bool:
    """Whether `plan_share` finds one."""
    return any(
        _step_has(step, name)
        for step in plan.steps
        for name in budget_ranges()
        if not step.act.training_only
    )


def with_share(plan: Plan, **shares: float) -> Plan:
    """The plan with another share, in every step that has one of this name.

    Raises:
        PlanError: if no step has it, or the value is out of range.

    Example:
        >>> from tersely.reduction import preset
        >>> with_share(preset("topk"), keep=0.5) == preset("topk", keep=0.5)
        True
    """
    for name, value in shares.items():
        if not any(_has(part, name) for step in plan.steps for part in (step.select, step.act)):
            known = [n for n in budget_ranges() if any(_step_has(s, n) for s in plan.steps)]
            raise PlanError(
                f"{name} is not a share of the plan {plan.name!r}; "
                f"its shares are {', '.join(known) or 'none'}"
            )
        plan = replace(plan, steps=tuple(_set(step, name, value) for step in plan.steps))
    return plan


def name_untrained(trained: Plan, now: Plan, depth: int) -> str | None:
    """Say that a model was not trained for the share that it runs with.

    Args:
        trained: the plan that it was trained under.
        now: the plan that it runs under.
        depth: blocks of the encoder.

    Returns:
        The sentence; None where it was trained for that: the plans are the same, or the share is
        inside the range that training drew from.

    Example:
        >>> from tersely.reduction import preset
        >>> name_untrained(preset("lat", keep=0.6), preset("lat", keep=0.8), 12)
        >>> name_untrained(preset("lat", keep=0.6), preset("lat", keep=0.4), 12)
        'the model was trained down to keep=0.6 and runs with keep=0.4, so it may be less ...
    """
    before, after = _spell(trained, depth), _spell(now, depth)
    ranged = any(step.select is not None and step.select.randomised for step in now.steps)
    if not (after[1] < before[1] if ranged else now != trained):
        return None
    what = "down to" if ranged else "with"
    advice = "" if ranged else ", or train for a range of budgets with the method lat"
    return (
        f"the model was trained {what} {before[0]} and runs with {after[0]}, so it may be "
        f"less accurate; compare with tersely evaluate{advice}"
    )


def _spell(plan: Plan, depth: int) -> tuple[str, float]:
    """A plan's share in words, and its value; other numbers where a method learned them."""
    if not has_share(plan):
        return f"numbers of its own at each block ({plan.name})", 0.0
    name, value, _ = plan_share(plan, depth)
    return f"{name}={value:.3g}", value


def _has(part: Part | None, name: str) -> bool:
    """Whether a part has the field, and neither learns it nor has one for each block instead."""
    if part is None or part.learns or getattr(part, f"{name}s", None) is not None:
        return False
    return any(field.name == name for field in dataclasses.fields(part))


def _step_has(step: Step, name: str) -> bool:
    return _has(step.select, name) or _has(step.act, name)


def _set(step: Step, name: str, value: float) -> Step:
    parts = {"select": step.select, "act": step.act}
    changed = {
        role: replace(part, **{name: value}) for role, part in parts.items() if _has(part, name)
    }
    return replace(step, **changed)
