"""The plan: at these blocks, score so, select so, act so. It is a method, as data.

A plan is saved inside `config.json` under a version, checked when it is made, and resolved against
an encoder's depth when a model is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tersely.errors import PlanError
from tersely.reduction.actions import Combine
from tersely.reduction.resolved import ResolvedPlan, combining_action, fit_steps
from tersely.reduction.selectors import Selector
from tersely.reduction.step import Step

__all__ = ["PLAN_VERSION", "Plan"]

PLAN_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """Which tokens leave the computation, where, and how.

    Attributes:
        name: what to call it in reports; a preset's name, or any other.
        steps: the steps, in any order; one at most chooses tokens at each block.

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
        combining = [step for step in self.steps if isinstance(step.act, Combine)]
        if len(combining) > 1:
            raise PlanError(f"steps may hold one 'combine' at most, got {len(combining)}")
        learning = [step for step in self.steps if step.act.connects and step.act.learns]
        if len(learning) > 1:
            raise PlanError(f"steps may hold one learned pattern at most, got {len(learning)}")

    @property
    def combine(self) -> Combine | None:
        """The combining action, if the plan has one."""
        return combining_action(self.steps)

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
        """The MACs over the dense model's that its learned selectors aim at, if any do."""
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
            PlanError: naming the field that is wrong, or a version that is newer than this tersely.
        """
        if not isinstance(data, dict):
            raise PlanError(f"a plan must be an object, got {data!r}")
        version = data.get("version")
        if not isinstance(version, int) or version < 1:
            raise PlanError(f"plan.version must be {PLAN_VERSION}, got {version!r}")
        if version > PLAN_VERSION:
            raise PlanError(
                f"plan.version must be at most {PLAN_VERSION}, got {version!r}; "
                "a newer plan needs a newer tersely"
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
        return fit_steps(self.steps, depth)
