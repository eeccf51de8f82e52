"""A cascade as data: which models stand in a row, how sure each must be, and what that was proven.

A document goes from stage to stage until one is sure enough of its answer; the last stage, the
reference, is the model as it was trained, and answers what is left. All stages run on one
checkpoint. Like a plan, a cascade is plain data in `config.json`, and knows no model.

    linear ── sure? ──▶ answer          thresholds (0.98, 0.90) at one point of the path
       │ no
    plan   ── sure? ──▶ answer
       │ no
    reference ────────▶ answer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tersely.certificates import Audit, Certificates
from tersely.errors import ModelError
from tersely.reduction import Plan

VERSION = 2
LINEAR, PLAN, REFERENCE = "linear", "plan", "reference"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One model of the row.

    Attributes:
        kind: `"linear"` for the checkpoint's linear stage, `"plan"` for its weights under a plan,
            `"reference"` for the model as it was trained.
        plan: of kind `"plan"`, the plan.
        temperature: what logits are divided by before they become probabilities; the linear stage
            has its own.
        weight: how much the linear stage's log-probabilities weigh that are added to the logits
            (of several labels its log-odds), 0 for not at all. It has none itself.
    """

    kind: str
    plan: Plan | None = None
    temperature: float = 1.0
    weight: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in (LINEAR, PLAN, REFERENCE):
            raise ModelError(
                f"cascade.stages.kind must be {LINEAR}, {PLAN} or {REFERENCE}, got {self.kind!r}"
            )
        if (self.plan is not None) != (self.kind == PLAN):
            raise ModelError(f"cascade.stages.plan is for the kind {PLAN!r}, got {self.kind!r}")
        if not 0 < self.temperature < float("inf"):
            raise ModelError(
                f"cascade.stages.temperature must be above 0, got {self.temperature!r}"
            )
        if not 0 <= self.weight < float("inf") or (self.weight and self.kind == LINEAR):
            raise ModelError(
                "cascade.stages.weight must be 0 or more, and 0 for the linear stage itself, got "
                f"{self.weight!r} for {self.kind!r}"
            )

    @property
    def name(self) -> str:
        """What people call it."""
        return self.kind if self.plan is None else self.plan.name


@dataclasses.dataclass(frozen=True)
class Cascade:
    """Stages, a path of thresholds from strict to loose, and the point of it that is in use.

    Attributes:
        stages: the reference last, the linear stage, if there is one, first.
        path: at each point a threshold for each stage but the last, from 0 to 1, which never rise
            along the path. A stage answers those of whom it is surer; nobody is surer than 1.
        point: which point is in use; None for the reference alone, with its stacking: the most
            accurate one.
        certificates: what was proven of the points.

    Raises:
        ModelError: if a field cannot be, naming it.
    """

    stages: tuple[Stage, ...]
    path: tuple[tuple[float, ...], ...] = ()
    point: int | None = None
    certificates: Certificates | None = None

    def __post_init__(self) -> None:
        kinds = [stage.kind for stage in self.stages]
        if kinds[-1:] != [REFERENCE] or REFERENCE in kinds[:-1] or LINEAR in kinds[1:]:
            raise ModelError(
                "cascade.stages must end with the reference, and the linear stage comes first, got "
                f"{', '.join(kinds) or 'none'}"
            )
        before: tuple[float, ...] = (1.0,) * (len(kinds) - 1)
        for number, thresholds in enumerate(self.path):
            if len(thresholds) != len(before) or not all(0 <= value <= 1 for value in thresholds):
                raise ModelError(
                    f"cascade.path must have {len(before)} thresholds from 0 to 1 at each point, "
                    f"got {list(thresholds)} at point {number}"
                )
            if any(now > then for now, then in zip(thresholds, before, strict=True)):
                raise ModelError(
                    f"cascade.path must go from strict to loose, got {list(thresholds)} at point "
                    f"{number} after {list(before)}"
                )
            before = thresholds
        if self.point is not None and not 0 <= self.point < len(self.path):
            raise ModelError(
                f"cascade.point must be one of {len(self.path)} points, got {self.point}"
            )

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds in use, of each stage but the last; 1, which nobody passes, for none."""
        return (1.0,) * (len(self.stages) - 1) if self.point is None else self.path[self.point]

    @property
    def is_alone(self) -> bool:
        """Whether no stage answers before the reference does."""
        return all(value >= 1 for value in self.thresholds)

    @property
    def needs_linear(self) -> bool:
        """Whether the checkpoint must hold a linear stage."""
        return any(stage.kind == LINEAR or stage.weight for stage in self.stages)

    def at(self, limit: float) -> Cascade:
        """Return the same at the point that was certified for a limit; 0 is the reference alone.

        Raises:
            DataError: for a limit that was not certified; the nearest ones that were are named.
            ModelError: if nothing was.
        """
        if limit == 0:
            return dataclasses.replace(self, point=None)
        if self.certificates is None:
            raise ModelError(
                f"this cascade has no certificates, and so no point for a limit of {limit:g}; "
                "recalibrate it on texts that it was not trained on"
            )
        return dataclasses.replace(self, point=self.certificates.at(limit).point)

    def audit(self) -> Audit:
        """Return an audit, of nothing yet, of the strictest limit certified for the point in use.

        Raises:
            ModelError: if no limit on the disagreement was, or the reference answers alone.
        """
        if self.is_alone:
            raise ModelError("an audit is of early answers, and the reference alone gives none")
        proven = self.certificates
        if proven is None or proven.criterion != "disagreement":
            on = "nothing" if proven is None else f"a limit on the {proven.criterion}"
            raise ModelError(
                f"an audit watches a certified limit on the disagreement, and {on} is certified "
                "for this cascade; certify it on texts without labels"
            )
        limits = [each.limit for each in proven.certificates if each.point == self.point]
        if not limits:
            raise ModelError(f"no limit is certified for point {self.point}; audit another one")
        return Audit(min(limits), proven.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return the cascade as JSON has it, with its version."""
        stages = [
            {"kind": stage.kind, "temperature": stage.temperature, "weight": stage.weight}
            | ({} if stage.plan is None else {"plan": stage.plan.to_dict()})
            for stage in self.stages
        ]
        proven = self.certificates
        return {
            "version": VERSION,
            "stages": stages,
            "path": [list(thresholds) for thresholds in self.path],
            "point": self.point,
            "certificates": None if proven is None else proven.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Cascade:
        """Rebuild a cascade; a ModelError names what is wrong."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != VERSION:
            raise ModelError(
                f"cascade.version must be {VERSION}, got {version!r}; a newer cascade needs a "
                "newer tersely"
            )
        try:
            stages = tuple(
                Stage(
                    each["kind"],
                    Plan.from_dict(each["plan"]) if "plan" in each else None,
                    each["temperature"],
                    each["weight"],
                )
                for each in data["stages"]
            )
            proven = data["certificates"]
            return cls(
                stages,
                tuple(tuple(thresholds) for thresholds in data["path"]),
                data["point"],
                None if proven is None else Certificates.from_dict(proven),
            )
        except (KeyError, TypeError) as error:
            raise ModelError(f"the cascade in config.json is not whole: {error}") from None
