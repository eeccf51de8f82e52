"""The search: stages, thresholds and their path on some documents, what they prove on others.

What is tried needs no training of the encoder: a linear stage, fitted in seconds, and bold plans on
the model's weights, each of which answers where it is sure. The documents are drawn apart first:
some fit the linear stage, some choose stages and path, and the rest does nothing but prove. The
path's points are then tested in a fixed sequence (`tersely.certificates`).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tersely._io import Progress
from tersely.cascade import (
    LINEAR,
    PLAN,
    REFERENCE,
    Cascade,
    Path,
    Stage,
    confidence,
    find_path,
    marks,
    to_logits,
)
from tersely.certificates import (
    LIMITS,
    PARTS,
    Part,
    different,
    documents_needed,
    draw_parts,
    prove,
    upper_bound,
)
from tersely.certificates.path import loosest_proven
from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.search.stages import Looked, StageRunner, plan_stages
from tersely.text import Documents
from tersely.trained import TrainedModel

DID = {
    "fitting": "fitted the linear stage",
    "choosing": "chose stages, temperatures and the path of thresholds",
    "proving": "proved, and nothing else",
}
_MORE = 4  # times as many texts, of which it is said what they would bring


@dataclass(frozen=True, eq=False)
class Choice:
    """Stages with their path, and what they would take for a document at the point in use."""

    stages: tuple[Stage, ...]
    path: Path
    point: int
    seconds: float

    @property
    def name(self) -> str:
        """The stages in a row."""
        return " → ".join(stage.name for stage in self.stages)

    @property
    def cascade(self) -> Cascade:
        """The stages and their path, of which nothing is proven yet."""
        return Cascade(self.stages, tuple(tuple(map(float, at)) for at in self.path.thresholds))


def choices(
    looked: Looked, stages: Sequence[Stage], limit: float, proving: int, several: bool
) -> list[Choice]:
    """Return every row of stages that would keep the limit, the fastest first.

    `looked` is what the stages, the reference last, say of the documents for choosing. What a
    path's point changes there is taken for its true rate: it has to be provable, by the bound that
    will be asked, on as many documents as there are for proof.
    """
    *stages, last = stages
    plans = [stage for stage in stages if stage.kind == PLAN]
    linear = [stage for stage in stages if stage.kind == LINEAR]
    rows = [*([each] for each in stages), *([*linear, plan] for plan in plans if linear)]
    found = []
    for row in rows:
        sure = np.stack([confidence(looked.answers[s.name], several).numpy() for s in row])
        changes = np.stack([looked.worse[s.name].astype(float) for s in row])
        if looked.better is not None:
            changes -= np.stack([looked.better[s.name] for s in row])
        seconds = np.array([looked.seconds[s.name] for s in (*row, last)])
        path = find_path(sure, changes, seconds)
        _, *judged = path_marks(row, path.thresholds, looked, several)
        hoped = (each if each is None else each.mean(axis=1) * proving for each in judged)
        point = loosest_proven(np.full(len(path.seconds), proving), *hoped, limit)
        if point >= 0 and path.seconds[point] < seconds[-1]:
            found.append(Choice((*row, last), path, point, path.seconds[point]))
    return sorted(found, key=lambda choice: choice.seconds)


def draw_documents(
    documents: Documents, limit: float, seed: int, fitting: Documents | None = None
) -> dict[str, Documents]:
    """Return the documents that fit, choose and prove; those that fit may be given.

    No text that fits is among the others, spaces and case aside. There have to be enough to prove
    the limit where nothing differs.
    """
    shares = PARTS
    if fitting is not None:
        documents = documents.select(different(documents.contents, without=fitting.contents))
        shares = {"choosing": 1 / 3, "proving": 2 / 3}
    parts = draw_parts(documents.contents, shares, seed=seed)
    check_provable(len(parts["proving"]), limit, sum(map(len, parts.values())))
    drawn = {name: documents.select(numbers) for name, numbers in parts.items()}
    return drawn if fitting is None else {"fitting": fitting, **drawn}


def check_provable(proving: int, limit: float, given: int) -> None:
    """Raise a `DataError` if so many of the different documents given cannot prove a limit."""
    needed = documents_needed(limit)
    if proving < needed:
        wanted = math.ceil(given * needed / max(1, proving))
        least = math.ceil(1e4 * float(upper_bound(0, proving))) / 1e4
        raise DataError(
            f"{needed} held-out texts are needed to prove a limit of {limit:.2%} even if no label "
            f"changes, about {wanted:,} distinct texts in all, got {given:,}, {proving} of them "
            f"for proof; give more texts, or allow at least {least:.2%}"
        )


def path_marks(
    stages: Sequence[Stage], path: ArrayLike, looked: Looked, several: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return who is answered early at each point, and whose answer counts against it and for it.

    All are `(points, documents)` bool; the last is None where nothing counts for an answer.
    """
    names, path = [s.name for s in stages if s.kind != REFERENCE], np.asarray(path)
    sure = np.stack([confidence(looked.answers[n], several).numpy() for n in names])
    early, worse = marks(path, sure, np.stack([looked.worse[n] for n in names]))
    if looked.better is None:
        return early, worse, None
    return early, worse, marks(path, sure, np.stack([looked.better[n] for n in names]))[1]


def prove_cascade(
    runner: StageRunner,
    cascade: Cascade,
    documents: Documents,
    limit: float,
    *,
    parts: Sequence[Part] = (),
) -> Cascade:
    """Test a cascade's path on documents that did nothing else; return it with what they prove.

    The documents are all different, with labels where the criterion is the loss. The loosest point
    that proves the limit will be in use; the usual limits are tested too. `parts` is what the other
    documents did, for the record.
    """
    _, looked = runner.look(cascade.stages, documents)
    early, worse, better = path_marks(cascade.stages, cascade.path, looked, runner.several)
    answers = to_logits(looked.answers[REFERENCE], runner.several).numpy()
    classes = runner.original.decide(answers)
    if runner.several:
        classes = [", ".join(each) for each in classes]
    texts = documents.contents
    proven = prove(
        texts,
        early,
        worse,
        better,
        criterion=runner.criterion,
        limits=sorted({*LIMITS, limit}),
        classes=classes,
        parts=[*parts, Part.of("proving", DID["proving"], texts)],
    )
    point = next(each.point for each in proven.certificates if each.limit == limit)
    return replace(cascade, point=point, certificates=proven)


def _check_original(original: TrainedModel) -> None:
    """Raise a `ModelError` for a model to which the search has nothing to add."""
    if not original.torch_model().config.reduction_plan().is_dense:
        raise ModelError(
            f"{original.source} already saves work ({original.plan.name}); accelerate starts from "
            "the dense model that it was made from"
        )
    if original.label_space.problem_type == "regression":
        raise ModelError(
            f"{original.source} predicts numbers, which never agree exactly; accelerate "
            "is for classifiers"
        )


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to."""

    runner: StageRunner  # the model, with the linear stage beside it where one could be fitted
    parts: dict[str, Documents]  # that fitted, chose and proved
    stages: tuple[Stage, ...]  # that were looked at, the reference last
    looked: Looked  # at the documents that chose
    ranked: list[Choice]  # what kept the limit there, the fastest first
    cascade: Cascade | None  # the first of them, with what was proven of it
    linear: dict[str, Any] | None  # the record of the linear stage's fit

    @property
    def seconds(self) -> float:
        """What the reference takes for a document."""
        return self.looked.seconds[REFERENCE]

    @property
    def why_not(self) -> str:
        """Why there is no cascade."""
        if self.cascade is None:
            return "no stage keeps the limit on the texts that choose"
        return "the held-out texts do not prove the limit for the cascade"

    def more_texts(self, limit: float) -> str:
        """Say what more texts would bring, if what choosing saw is true of all."""
        given, now = _MORE * len(self.parts["proving"]), self.seconds
        if self.cascade is not None and self.cascade.point is not None:
            now = float(self.ranked[0].path.seconds[self.cascade.point])
        hoped = choices(self.looked, self.stages, limit, given, self.runner.several)
        then = min([now, *(choice.seconds for choice in hoped[:1])])
        would = "would hardly gain speed"
        if then < 0.95 * now:
            ratios = f"×{self.seconds / then:.1f} packed instead of ×{self.seconds / now:.1f}"
            would = f"may prove {ratios}"
        return f"{_MORE} times as many texts for proof, {given:,}, {would}, by the texts that chose"


def find_cascade(
    original: TrainedModel,
    documents: Documents,
    *,
    limit: float,
    fitting: Documents | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    progress: Progress = None,
) -> Found:
    """Find the fastest stages that keep a limit, and test them on documents that prove alone.

    The documents are such as the dense `original` will read, on which it was not trained. Where
    they have labels, the limit is on the net loss: documents that turn wrong, less those that turn
    right. Documents of their own may fit the linear stage; None to draw these too. `tell` is called
    with a line about each step, `progress` with what runs, and how much of how much of it is done.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that are not known.
        ModelError: if the original is no dense classifier.
    """
    _check_original(original)
    parts = draw_documents(documents, limit, seed, fitting)
    runner = StageRunner(original, "disagreement" if documents.labels is None else "loss", progress)
    if documents.labels is not None:
        original.label_space.encode(documents.labels, unseen="skip")  # says once what is unknown
    # Nothing is said of the parts that was said of all.
    with warnings.catch_warnings(action="ignore", category=TerselyWarning):
        record = None
        try:
            fit = runner.fit_linear(parts["fitting"])
        except DataError as error:  # all alike, for instance; the plans remain
            tell(f"no linear stage: {error}")
        else:
            best, record = fit.candidates[0], fit.record()
            right = "right" if runner.criterion == "loss" else "as the original decides"
            right = f"{best.accuracy:.1%} of {len(fit.folds):,} texts {right}"
            tell(f"linear stage: {best.name}, {right}")
        stages = [] if record is None else [Stage(LINEAR)]
        stages += [*plan_stages(runner.model.plan.depth, record is not None), Stage(REFERENCE)]
        runner.check_steady(parts["choosing"], limit)
        stages, looked = runner.look(stages, parts["choosing"], fit_temperatures=True)
        ranked = choices(looked, stages, limit, len(parts["proving"]), runner.several)
        for choice in ranked[:3]:
            ratio = looked.seconds[REFERENCE] / choice.seconds
            tell(f"{choice.name}: about {ratio:.1f} times as fast as packed, where it was chosen")
        cascade = None
        if ranked:
            did = [Part.of(n, DID[n], parts[n].contents) for n in ("fitting", "choosing")]
            cascade = prove_cascade(runner, ranked[0].cascade, parts["proving"], limit, parts=did)
    return Found(runner, parts, stages, looked, ranked, cascade, record)
