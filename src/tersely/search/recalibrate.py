"""New proof for a model that is there: its stages, its path and its temperatures stay.

Nothing is searched, so all documents prove, and the point that they prove for the limit is in use.
A limit on the error needs one thing that a model may not have yet: the confidences from which on an
answer counts, from strict to loose. Some of the documents settle them the first time.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tersely._io import Progress, counting
from tersely.cascade import POINTS, REFERENCE, Cascade, Review, Stage
from tersely.certificates import LIMITS, Part, draw_parts, prove, surest_point
from tersely.certificates.parts import REVIEWED, unused
from tersely.errors import DataError, ModelError, warn
from tersely.search.find import DID, check_provable, prove_cascade
from tersely.search.stages import StageRunner
from tersely.text import Documents
from tersely.text.labels import REGRESSION
from tersely.text.metrics import right_documents
from tersely.trained import TrainedModel

USUAL = {"disagreement": 0.005, "loss": 0.01}


def recalibrate(
    original: TrainedModel,
    documents: Documents,
    limits: Mapping[str, float | None],
    progress: Progress = None,
) -> Cascade:
    """Return a model's cascade with what documents prove of it, at the point for the limit.

    Without `limits`, one at most by its criterion, it is the limit that the cascade is used with.
    Documents that chose or fitted something are left out, as far as the record tells.

    Raises:
        DataError: if there are too few documents, no labels where they are needed, or two limits.
        ModelError: without a cascade if the limit is not on the error, for a regression, or where
            the reference's labels hang on a document's company.
    """
    cascade, source = original.torch_model().cascade, original.source
    criterion, limit = _asked(cascade, documents, limits)
    if original.label_space.problem_type == REGRESSION:
        raise ModelError(f"{source} predicts numbers, and recalibrate is for classifiers")
    if criterion == "error":
        cascade = cascade or Cascade((Stage(REFERENCE),))
    elif cascade is None or not cascade.path:
        raise ModelError(f"{source} has no stages to recalibrate; accelerate it, or set max_error")
    if criterion != "disagreement" and documents.labels is None:
        raise DataError(
            f"a limit on the {criterion} needs labels, and {documents.source} has none; name their "
            "column, or set max_disagreement"
        )
    review = cascade.review
    proofs = cascade.certificates, review and review.certificates
    parts = [each.parts if each else () for each in proofs]
    kept = [[each for each in own if each.name != "proving"] for own in parts]
    # What proved the point in use has chosen it.
    used = [*kept[0], *kept[1], *(parts[0] if criterion == "error" else ())]
    left = unused(documents.contents, used)
    if dropped := len(documents) - len(left):
        of = f"{dropped:,} of {len(documents):,} texts"
        warn(f"{of} are duplicates, or fitted or chose something, and are left out")
    documents = documents.select(left)
    check_provable(len(left), limit, len(left))
    runner = StageRunner(original, criterion, progress)
    runner.check_steady(documents, limit)
    if criterion == "error":
        made = _review(runner, cascade, documents, limit, kept[1])
        missed = "nothing is marked for review" if made.review.point is None else None
    else:
        made = prove_cascade(runner, cascade, documents, limit, parts=kept[0])
        missed = "the reference answers alone" if made.point is None else None
        if review is not None and review.stages_point != made.point:
            warn("the certified error was for another point and is gone; certify it again")
            made = replace(made, review=None)
    if missed is not None:
        warn(f"these texts do not prove a limit of {limit:g} on the {criterion}, so {missed}")
    return made


def _asked(
    cascade: Cascade | None, documents: Documents, limits: Mapping[str, float | None]
) -> tuple[str, float]:
    """Return the criterion and the limit that were asked for, or those in use."""
    given = [(name, limit) for name, limit in limits.items() if limit is not None]
    if len(given) > 1:
        names = " and ".join(f"max_{name}" for name, _ in given)
        raise DataError(f"each run certifies one limit, got {names}; give one, then the other")
    if given:
        return given[0]
    criterion, used = "disagreement" if documents.labels is None else "loss", []
    if cascade is not None and (proven := cascade.certificates) is not None:
        criterion, point = proven.criterion, cascade.point
        used = [each.limit for each in proven.certificates if each.point == point is not None]
    return criterion, min(used, default=USUAL[criterion])


def _review(
    runner: StageRunner, cascade: Cascade, documents: Documents, limit: float, did: list[Part]
) -> Cascade:
    """Certify the error of what is answered at the cascade's point in use."""
    original, old, texts = runner.original, cascade.review, documents.contents
    kept = old is not None and old.stages_point == cascade.point
    parts = {"proving": list(range(len(texts)))} if kept else draw_parts(texts, REVIEWED)
    proving = parts["proving"]
    check_provable(len(proving), limit, len(texts))
    answering = original.with_model(original.torch_model().under_cascade(cascade))
    wanted = original.label_space.encode(documents.labels, unseen="skip")
    told = counting(runner.progress, "answering", len(documents))
    forward = answering.forward(original.encode(documents.texts, documents.pairs), told)
    problem = original.label_space.problem_type
    wrong, sure = ~right_documents(forward.logits, wanted, problem), forward.confidence
    if kept:
        path, first = old.path, old.certificates.first
    else:
        chosen, shares = parts["choosing"], 1 - np.arange(1, POINTS) / POINTS
        cuts = np.quantile(sure[chosen], shares, method="inverted_cdf").clip(0, 1).tolist()
        path = tuple(sorted({*cuts, 0.0}, reverse=True))
        first = surest_point(sure[chosen] > np.array(path)[:, None], [wrong[chosen]] * len(path))
        settled = [texts[number] for number in chosen]
        did = [Part.of("choosing", "chose the confidence thresholds", settled)]
    early, proof = sure[proving] > np.array(path)[:, None], documents.select(proving)
    limits, texts = sorted({*LIMITS, limit}), proof.contents
    proven = prove(
        texts,
        early,
        early & wrong[proving],
        criterion="error",
        limits=limits,
        first=first,
        classes=[each if isinstance(each, str) else ", ".join(each) for each in proof.labels],
        parts=[*did, Part.of("proving", DID["proving"], texts)],
    )
    point = proven.certificates[limits.index(limit)].point
    return replace(cascade, review=Review(path, proven, cascade.point, point))
