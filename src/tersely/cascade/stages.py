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

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from tersely.certificates import Audit, Certificate, Certificates
from tersely.errors import ModelError, warn
from tersely.reduction import Plan

VERSION = 3
_READ = (2, VERSION)  # without a review before 3
LINEAR, PLAN, REFERENCE = "linear", "plan", "reference"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One model of the row; the linear stage has a temperature of its own, and no weight.

    `weight` is how much the linear stage's log-probabilities (of several labels its log-odds) weigh
    that are added to the logits, 0 for not at all.
    """

    kind: str  # `"linear"`, `"plan"`: the weights under a plan, `"reference"`: as they were trained
    plan: Plan | None = None  # of kind `"plan"`
    temperature: float = 1.0  # what logits are divided by before they become probabilities
    weight: float = 0.0

    def __post_init__(self) -> None:
        kind, weight, wrong = self.kind, self.weight, None
        if kind not in (LINEAR, PLAN, REFERENCE):
            wrong = f"kind must be {LINEAR}, {PLAN} or {REFERENCE}, got {kind!r}"
        elif (self.plan is not None) != (kind == PLAN):
            wrong = f"plan must be given for the kind {PLAN!r}, and for no other, got {kind!r}"
        elif not 0 < self.temperature < float("inf"):
            wrong = f"temperature must be above 0, got {self.temperature!r}"
        elif not 0 <= weight < float("inf") or (weight and kind == LINEAR):
            of = "0 or more, and 0 for the linear stage itself"
            wrong = f"weight must be {of}, got {weight!r} for {kind!r}"
        if wrong is not None:
            raise ModelError(f"cascade.stages.{wrong}")

    @property
    def name(self) -> str:
        """What people call it."""
        return self.kind if self.plan is None else self.plan.name


@dataclasses.dataclass(frozen=True)
class Review:
    """How sure an answer must be to count; the others are set apart, for people to decide."""

    path: tuple[float, ...]  # confidences, strict to loose: one must exceed that of the point
    certificates: Certificates  # of the error of what is answered
    stages_point: int | None  # the point of the cascade's own path, at which that was proven
    point: int | None = None  # which is in use; None where all is answered

    @property
    def certificate(self) -> Certificate:
        """What was proven of the point in use, of the strictest limit."""
        return next(each for each in self.certificates.certificates if each.point == self.point)

    def sentence(self, apart: int, documents: int) -> str:
        """Return how many are set apart, and what is proven of the others."""
        most, sure = self.certificate.bound, self.certificates.confidence
        return (
            f"{apart:,} of {documents:,} documents are marked for review; at most {most:.2%} of "
            f"the other labels are wrong, at {sure:.0%} confidence"
        )


@dataclasses.dataclass(frozen=True)
class Cascade:
    """Stages, a path of thresholds from strict to loose, and the point of it that is in use.

    A point has a threshold for each stage but the last, from 0 to 1, none above the one before it
    on the path. A stage answers those of whom it is surer; nobody is surer than 1. Without a point
    the reference answers alone, with its stacking: the most accurate one.

    Raises:
        ModelError: if a field cannot be, naming it.
    """

    stages: tuple[Stage, ...]  # the reference last, the linear stage, if there is one, first
    path: tuple[tuple[float, ...], ...] = ()
    point: int | None = None
    certificates: Certificates | None = None  # what was proven of the points
    review: Review | None = None  # which answers count, where a limit on their error is certified

    def __post_init__(self) -> None:
        kinds = [stage.kind for stage in self.stages]
        if kinds[-1:] != [REFERENCE] or REFERENCE in kinds[:-1] or LINEAR in kinds[1:]:
            raise ModelError(
                "cascade.stages must end with the reference, and may have a linear stage only as "
                f"the first, got {', '.join(kinds) or 'none'}"
            )
        _check_path("cascade", self.path, self.point, len(kinds) - 1)
        if (review := self.review) is not None:
            _check_path("cascade.review", [(each,) for each in review.path], review.point, 1)

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

    @property
    def reviewing(self) -> Review | None:
        """The review, if it is in use and speaks of this point."""
        used = self.review is not None and self.review.point is not None
        return self.review if used and self.review.stages_point == self.point else None

    def lines(self) -> list[str]:
        """Return what is proven of the path, and of the error of what is answered."""
        proven = self.certificates, self.review and self.review.certificates
        return [line for each in proven if each is not None for line in each.lines()]

    def at(self, limit: float, criterion: str | None = None) -> Self:
        """Return the same at the point that was certified for a limit; 0 is the reference alone.

        `criterion` is what the limit is on, None for what the path is certified for; of the error 1
        answers everything.

        Raises:
            DataError: for a limit that was not certified; the nearest ones that were are named.
            ModelError: if nothing was.
        """
        proven, review = self.certificates, self.review
        if criterion == "error":
            if review is None or review.stages_point != self.point:
                raise ModelError(
                    f"max_error is {limit:g}, but no limit on the error is certified for this "
                    "model as it is loaded; recalibrate it on labelled documents with max_error"
                )
            point = None if limit >= 1 else review.certificates.at(limit).point
            return dataclasses.replace(self, review=dataclasses.replace(review, point=point))
        if limit and proven is None:
            raise ModelError(
                f"no limit is certified for this cascade, got a limit of {limit:g}; recalibrate it "
                "on texts that it was not trained on"
            )
        if limit and criterion not in (None, proven.criterion):
            raise ModelError(
                f"got a limit of {limit:g} on the {criterion}, but only limits on the "
                f"{proven.criterion} are certified; set max_{proven.criterion}"
            )
        made = dataclasses.replace(self, point=proven.at(limit).point if limit else None)
        if criterion is not None and self.reviewing is not None and made.reviewing is None:
            together = f"is not certified together with this limit on the {criterion}"
            warn(f"the limit on the error {together}, so no answer is marked for review")
        return made

    def audit(self) -> Audit:
        """Return an audit, of nothing yet, of the strictest limit certified for the point in use.

        A ModelError says if no limit on the disagreement was, or the reference answers alone.
        """
        if self.is_alone:
            told = "the reference answers all documents here; leave the audit out"
            raise ModelError(f"an audit compares early answers with the reference's, but {told}")
        proven = self.certificates
        if proven is None or proven.criterion != "disagreement":
            on = "nothing" if proven is None else f"a limit on the {proven.criterion}"
            raise ModelError(
                f"an audit needs a certified limit on the disagreement, but {on} is certified for "
                "this cascade; recalibrate it on texts without labels"
            )
        limits = [each.limit for each in proven.certificates if each.point == self.point]
        if not limits:
            raise ModelError(
                f"an audit needs a certified limit, but point {self.point} of the path has none; "
                "load the model with a certified limit"
            )
        return Audit(min(limits), proven.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return the cascade as JSON has it, with its version."""
        stages = [vars(each) | {"plan": each.plan and each.plan.to_dict()} for each in self.stages]
        proven, review = self.certificates, self.review
        if review is not None:
            review = vars(review) | {"certificates": review.certificates.to_dict()}
        path, proven = [list(each) for each in self.path], proven and proven.to_dict()
        found = {"version": VERSION, "stages": stages, "path": path, "point": self.point}
        return found | {"certificates": proven, "review": review}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild a cascade; a ModelError names what is wrong."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if version not in _READ:
            raise ModelError(
                f"cascade.version must be {VERSION}, got {version!r}; a newer cascade needs a "
                "newer tersely"
            )
        try:
            plans = [each.get("plan") for each in data["stages"]]
            stages = tuple(
                Stage(**each | {"plan": None if plan is None else Plan.from_dict(plan)})
                for each, plan in zip(data["stages"], plans, strict=True)
            )
            proven, review = data["certificates"], data.get("review")
            if review is not None:
                given = {"certificates": Certificates.from_dict(review["certificates"])}
                review = Review(**review | given | {"path": tuple(review["path"])})
            proven = None if proven is None else Certificates.from_dict(proven)
            return cls(stages, tuple(map(tuple, data["path"])), data["point"], proven, review)
        except (KeyError, TypeError) as error:
            raise ModelError(f"the cascade in config.json is incomplete: {error}") from None


def _check_path(name: str, path: Iterable[Sequence[float]], point: int | None, stages: int) -> None:
    """Raise a ModelError if thresholds do not go from strict to loose, or the point is none."""
    before, number = (1.0,) * stages, -1
    for number, thresholds in enumerate(path):
        got = f"got {list(thresholds)} at point {number}"
        if len(thresholds) != stages or not all(0 <= value <= 1 for value in thresholds):
            raise ModelError(f"{name}.path must have {stages} thresholds from 0 to 1, {got}")
        if any(now > then for now, then in zip(thresholds, before, strict=True)):
            told = f"{name}.path must have thresholds that never increase from point to point"
            raise ModelError(f"{told}, {got} after {list(before)}")
        before = thresholds
    if point is not None and not 0 <= point <= number:
        told = f"at least 0 and below {number + 1}, the number of points, got {point}"
        raise ModelError(f"{name}.point must be {told}")
