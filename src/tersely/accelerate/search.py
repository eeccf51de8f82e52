"""The search: stages, thresholds and their path on some texts, what they prove on others.

What is tried needs no training of the encoder: a linear stage, fitted in seconds on the original's
own answers, and bold plans on its weights, each of which answers where it is sure. The texts are
drawn apart first: some fit the linear stage, some choose stages and path, and the rest does nothing
but prove. The path's limits are then tested in a fixed sequence (`tersely.certificates`). Packed
execution of the original alone, which changes no label by design, is always among the candidates,
and remains where nothing else is proven to be faster.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tersely._io import describe_machine
from tersely.accelerate.stages import Bench, Looked, Referee, plan_stages
from tersely.bench import PackedContender, StockContender, paired_ratio, take_turns
from tersely.cascade import (
    LINEAR,
    PLAN,
    REFERENCE,
    Cascade,
    Stage,
    confidence,
    find_path,
    marks,
    to_logits,
)
from tersely.cascade import Path as ThresholdPath
from tersely.certificates import (
    LIMITS,
    Part,
    documents_needed,
    draw_parts,
    fingerprint,
    prove,
    upper_bound,
)
from tersely.classifier import Classifier
from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.linear import LinearStage

GAIN = 1.05
"""The least speed-up, at the lower end of its interval, that is worth another model, or a cascade
in the place of packed execution alone."""

TIMED = 128
"""Texts that the clock runs."""

VERSION = 4
PACKED, CASCADE = "packed", "cascade"

WAYS = {
    "the original, padded in arrival order": "arrival",
    "the original, padded and sorted by length": "sorted",
}
"""The ways to run the original with transformers, and the order of the texts in each."""

DID = {
    "fitting": "fitted the linear stage",
    "choosing": "chose stages, temperatures and the path of thresholds",
    "proving": "proved, and nothing else",
}


@dataclass(frozen=True, eq=False)
class Choice:
    """Stages with their path, and what they would take for a document at the point in use."""

    stages: tuple[Stage, ...]
    path: ThresholdPath
    point: int
    seconds: float

    @property
    def name(self) -> str:
        """The stages in a row."""
        return " → ".join(stage.name for stage in self.stages)


def choices(
    looked: Looked, stages: Sequence[Stage], limit: float, proving: int, several: bool
) -> list[Choice]:
    """Return every row of stages that would keep the limit, the fastest first.

    What a path's point changes here is taken for its true rate: it has to be provable on as many
    documents as there are for proof.
    """
    plans = [stage for stage in stages if stage.kind == PLAN]
    linear = [stage for stage in stages if stage.kind == LINEAR]
    rows = [*([each] for each in stages), *([*linear, plan] for plan in plans if linear)]
    found = []
    for row in rows:
        sure = np.stack([confidence(looked.answers[s.name], several).numpy() for s in row])
        changes = np.stack([looked.worse[s.name].astype(float) for s in row])
        if looked.better is not None:
            changes -= np.stack([looked.better[s.name] for s in row])
        seconds = np.array([looked.seconds[s.name] for s in (*row, Stage(REFERENCE))])
        path = find_path(sure, changes, seconds)
        bounds = upper_bound(np.maximum(path.changes, 0) * proving, proving)
        fits = np.logical_and.accumulate(bounds <= limit)
        point = int(fits.sum()) - 1
        if point >= 0 and path.seconds[point] < seconds[-1]:
            found.append(Choice((*row, Stage(REFERENCE)), path, point, path.seconds[point]))
    return sorted(found, key=lambda choice: choice.seconds)


# ---- the steps ---------------------------------------------------------------------------------


def parts_of(texts: Sequence[str], limit: float, seed: int) -> dict[str, list[int]]:
    """Return the numbers of the texts that fit, choose and prove.

    Raises:
        DataError: if there are too few to prove the limit even where nothing differs.
    """
    needed = documents_needed(limit)
    parts = draw_parts(texts, seed=seed)
    proving = len(parts["proving"])
    if proving < needed:
        given = sum(map(len, parts.values()))
        wanted = math.ceil(given * needed / proving)
        least = math.ceil(1e4 * float(upper_bound(0, proving))) / 1e4
        raise DataError(
            f"{needed} texts that do nothing else are needed to prove a limit of {limit:.3g} even "
            f"if nothing differs, some {wanted:,} different texts in all, got {given:,} and "
            f"{proving} of them for proof; give more texts, or allow at least {least:.2%}"
        )
    return parts


def check_original(original: Classifier) -> None:
    """Raise a `ModelError` for a classifier that nothing can be proven of here."""
    source, long = original.source, original.torch_model().config.long
    if not original.plan.is_dense or original.model.cascade is not None:
        kind = original.plan.name if original.model.cascade is None else "a cascade"
        raise ModelError(
            f"{source} saves work already ({kind}); accelerate starts from the dense model that "
            "it was made from"
        )
    if original.label_space.problem_type == "regression":
        raise ModelError(
            f"{source} predicts numbers, of which nothing can agree exactly; accelerate is for "
            "classifiers"
        )
    if long != "truncate":
        raise ModelError(
            f"{source} reads long documents by {long!r}, and accelerate compares with "
            "transformers, which cut them at their end; save it with long='truncate' if that is "
            "how it is used"
        )


def _linear(
    bench: Bench, numbers: Sequence[int], tell: Callable[[str], None]
) -> tuple[LinearStage | None, dict[str, Any] | None]:
    """Return the linear stage and the record of its fit, None where it cannot be fitted."""
    try:
        fit = bench.fit_linear(numbers)
    except DataError as error:  # all alike, for instance; the plans remain
        tell(f"no linear stage: {error}")
        return None, None
    best = fit.candidates[0]
    tell(f"linear stage: {best.name}, {best.accuracy:.1%} of {len(fit.folds):,} texts right")
    return fit.stage, fit.record()


def _prove(
    bench: Bench,
    choice: Choice,
    parts: dict[str, list[int]],
    linear: LinearStage | None,
    limit: float,
) -> Cascade:
    """Test the path on the texts for proof, which are looked at here for the first time."""
    numbers = parts["proving"]
    stages, looked = bench.look(choice.stages[:-1], numbers, linear)
    names = [stage.name for stage in stages]
    sure = np.stack([confidence(looked.answers[n], bench.several).numpy() for n in names])
    thresholds = choice.path.thresholds
    early, worse = marks(thresholds, sure, np.stack([looked.worse[n] for n in names]))
    better = None
    if looked.better is not None:
        better = marks(thresholds, sure, np.stack([looked.better[n] for n in names]))[1]
    answers = to_logits(looked.answers[REFERENCE], bench.several).numpy()
    classes = bench.original.decide(answers)
    if bench.several:
        classes = [", ".join(each) for each in classes]
    texts = {name: [bench.texts[n] for n in own] for name, own in parts.items()}
    certificates = prove(
        texts["proving"],
        early,
        worse,
        better,
        criterion=bench.referee.criterion,
        limits=sorted({*LIMITS, limit}),
        classes=classes,
        parts=[Part(n, DID[n], len(own), fingerprint(own)) for n, own in texts.items()],
    )
    path = tuple(tuple(map(float, point)) for point in thresholds)
    point = next(each.point for each in certificates.certificates if each.limit == limit)
    return Cascade(choice.stages, path, point, certificates)


def _timed(
    original: Classifier, made: Classifier | None, texts: list[str], rounds: int
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each way to run the original, packed, and the choice, in turns.

    And how many of these texts get another label packed than padded by transformers.
    """
    contenders: list[Any] = [
        StockContender(
            original.model,
            original.tokenizer,
            name=way,
            order=order,
            max_length=original.limit,
        )
        for way, order in WAYS.items()
    ]
    contenders.append(PackedContender(original, PACKED))
    if made is not None:
        contenders.append(PackedContender(made, CASCADE))
    for contender in contenders:
        contender.prepare(texts[:TIMED])
    padded, packed = (original.decide(each.run()) for each in contenders[1:3])
    differing = sum(one != other for one, other in zip(padded, packed, strict=True))
    return {each.name: each.seconds for each in take_turns(contenders, rounds)}, differing


# ---- the whole ---------------------------------------------------------------------------------


def accelerate(
    source: str | Path | Classifier,
    texts: Sequence[str],
    labels: Sequence[Any] | None = None,
    *,
    limit: float = 0.005,
    rounds: int = 5,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], Classifier | None]:
    """Find the fastest way to run a fine-tuned classifier that can be proven to keep a limit.

    Args:
        source: a dense classifier, of transformers or of tersely: a directory, a Hub name, or one
            that is loaded.
        texts: documents like those that it will read; it should not have been trained on them.
        labels: their labels; the limit is then on the net loss: documents that turn wrong, less
            those that turn right.
        limit: the share that is allowed: of other predictions than the original's, or of net loss.
        rounds: turns of each in the final comparison.
        seed: of the draw of the parts.
        tell: called with a line about each step.

    Returns:
        The evidence as JSON has it, and the classifier that was chosen, with its cascade in its
        configuration, ready for `save`; None if the `"answer"` is to keep the original. `"speed"`
        is the choice's over each way to run the original, `"packed_speed"` that of packed
        execution, which is the reference of the cascade.

    Raises:
        DataError: if there are too few texts to prove the limit, or labels that the model does not
            know.
        ModelError: if the original is no dense classifier, or reads long documents otherwise than
            cut at their end.
    """
    original = source
    if not isinstance(original, Classifier):
        original = Classifier.from_pretrained(original)
    check_original(original)
    parts = parts_of(texts, limit, seed)
    space = original.label_space
    wanted = None if labels is None else space.encode(labels, unseen="skip")
    with warnings.catch_warnings():  # how many texts are too long was said of these
        warnings.simplefilter("ignore", TerselyWarning)
        bench = Bench(original, texts, Referee(original, wanted))
        linear, record = _linear(bench, parts["fitting"], tell)
        stages = [] if linear is None else [Stage(LINEAR)]
        stages += plan_stages(bench.model.plan.depth, linear is not None)
        stages, found = bench.look(stages, parts["choosing"], linear, calibrate=True)
        ranked = choices(found, stages, limit, len(parts["proving"]), bench.several)
        for choice in ranked[:3]:
            ratio = found.seconds[REFERENCE] / choice.seconds
            tell(f"{choice.name}: some {ratio:.1f} times packed, by what choosing saw")
        cascade, made = None, None
        if ranked:
            cascade = _prove(bench, ranked[0], parts, linear, limit)
            tell("; ".join(cascade.certificates.lines()[:1]))
        if cascade is not None and not cascade.is_alone:
            made = copy.copy(original)
            made.adopt(original.model.under_cascade(cascade, linear), original.tokenizer)
        chosen = [texts[number] for number in parts["choosing"]]
        seconds, differing = _timed(original, made, chosen, rounds)
    speed = {
        name: {way: asdict(paired_ratio(seconds[name], seconds[way])) for way in WAYS}
        for name in seconds
        if name not in WAYS
    }
    over = {} if made is None else asdict(paired_ratio(seconds[CASCADE], seconds[PACKED]))
    gains = {
        name: all(ratio["interval"][0] >= GAIN for ratio in ways.values())
        for name, ways in speed.items()
    }
    if made is not None and over["interval"][0] >= GAIN and gains[CASCADE]:
        answer, kept = CASCADE, made
    else:
        answer, kept = (PACKED, original) if gains[PACKED] else (None, None)
    evidence = {
        "version": VERSION,
        "model": Path(original.source).resolve().name,  # no path
        "answer": "keep" if answer is None else "faster",
        "chosen": answer or PACKED,
        "reason": _reason(answer, cascade, made is not None),
        "limit": limit,
        "criterion": bench.referee.criterion,
        "texts": {"given": len(texts)} | {name: len(own) for name, own in parts.items()},
        "stages": None if cascade is None else [stage.name for stage in cascade.stages],
        "certificates": None if cascade is None else cascade.certificates.to_dict(),
        "linear": record,
        "tried": [
            {"name": c.name, "seconds_ratio": found.seconds[REFERENCE] / c.seconds} for c in ranked
        ],
        "speed": speed[answer or PACKED],
        "packed_speed": speed[PACKED],
        "packed_differs": differing,
        "over_packed": over or None,
        "seconds": seconds,
        "timed_documents": min(TIMED, len(parts["choosing"])),
        "machine": describe_machine(),
    }
    return evidence, kept


def _reason(answer: str | None, cascade: Cascade | None, ran: bool) -> str:
    """Return the decision in a sentence."""
    if answer == CASCADE:
        return f"Faster: {' → '.join(stage.name for stage in cascade.stages)}"
    why = "no stage keeps the limit on the texts that choose"
    if ran:
        why = "the cascade is not enough faster than packed execution"
    elif cascade is not None:
        why = "the texts set apart do not prove the limit for the cascade"
    if answer == PACKED:
        return f"Faster: packed, which changes no label; {why}"
    return f"No gain here: keep the original; {why}"
