"""The cascade that training ends with: a linear model first, then the two together.

The linear stage is fitted on the training documents within seconds, so that it is known what the
encoder has to beat before that begins. Temperatures, stacking weights, stages and path are settled
on validation documents, which neither was fitted on. Where documents were set apart that do nothing
else, these prove what the cascade loses; where there are too few, the validation documents say what
to expect, which is an estimate, and the model answers at its most accurate point.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tersely.cascade import LINEAR, REFERENCE, Cascade, Stage, to_log_probabilities, to_logits
from tersely.certificates import (
    LIMITS,
    Part,
    different,
    documents_for_net_loss,
    documents_needed,
    fingerprint,
)
from tersely.errors import DataError
from tersely.linear import LinearFit, LinearStage
from tersely.modeling.cascading import fit_beside, linear_log_probabilities
from tersely.search.find import choices, path_marks, prove_cascade
from tersely.search.stages import Bench, plan_stages
from tersely.text import Documents
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.metrics import calibration_error, right_documents, share_interval
from tersely.trained import TrainedModel
from tersely.training.fit import PROVABLE, Material

FEWEST = 25
"""Validation documents by which a cascade can be set."""


def first_verdict(
    original: TrainedModel,
    fit: LinearFit | None,
    given: Material,
    train: Any,
    tell: Callable[[str], None],
) -> LinearFit | None:
    """Fit the linear stage and say what it is worth alone; None where no cascade can follow.

    Args:
        original: a model of these labels that is not trained yet.
        fit: the linear stage, where the model's plan needed it already.
        given: the documents.
        train: the encoded training documents, with `labels`.
        tell: called with the verdict, and with why there will be no cascade.
    """
    began, space = time.perf_counter(), original.label_space
    if space.problem_type == REGRESSION or given.validation is None:
        number = "it answers where classes lie apart, and a regression has none"
        none = "it is set by validation documents, and there are none"
        tell(f"no cascade: {none if space.problem_type != REGRESSION else number}")
        return None
    try:
        fit = fit or fit_beside(original.model, train.encoded, train.labels, original.tokenizer)
    except DataError as error:
        tell(f"no cascade: {error}")
        return None
    judges = _choosing(given)
    if enough := len(judges) >= FEWEST:
        encoded = original.encode(judges.texts, judges.pairs, tell=False)
        answers, labels = linear_log_probabilities(fit.stage, encoded).cpu(), judges.labels
        labels, which = space.encode(labels, unseen="skip"), "validation documents"
    else:
        answers, labels = torch.from_numpy(fit.log_probabilities), train.labels
        which = "training documents, each answered without it,"
    logits = to_logits(answers, space.problem_type == MULTI_LABEL).numpy()
    right = right_documents(logits, labels, space.problem_type)
    low, high = (100 * end for end in share_interval(int(right.sum()), len(right)))
    tell(
        f"the linear stage alone: {100 * right.mean():.1f} % ({low:.1f} to {high:.1f}) of "
        f"{len(right):,} {which} right, after {time.perf_counter() - began:.1f} s"
    )
    if not enough:
        tell(
            f"no cascade: setting one takes {FEWEST} validation documents that are not among the "
            f"training documents, got {len(judges)}; a tenth of {10 * FEWEST} documents would do"
        )
    return fit if enough else None


def cascade_after(
    original: TrainedModel,
    linear: LinearStage,
    given: Material,
    *,
    limit: float,
    stacking: bool,
    tell: Callable[[str], None],
) -> tuple[Cascade, dict[str, Any]]:
    """Set the cascade of a model that has just been trained, and prove it where documents do.

    The reference is the trained model, whatever its plan; bold plans stand before a dense one only.

    Args:
        original: the trained model.
        linear: the linear stage, fitted on the training documents alone.
        given: the documents: validation and, where they were set apart, those for proof.
        limit: on the net loss against the reference.
        stacking: whether the linear stage's evidence is added to the others' logits.
        tell: called with what came out.

    Returns:
        The cascade, with no point in use where no limit is proven, and its record.
    """
    bench, judges = Bench(original, "loss"), _choosing(given)
    bench.model = bench.model.beside(linear)
    plans = plan_stages(bench.model.plan.depth, True) if original.plan.is_dense else ()
    stages, looked = bench.look(
        [Stage(LINEAR), *plans, Stage(REFERENCE)],
        judges,
        fit_temperatures=True,
        stacking=stacking,
    )
    proof, lines = given.proof, []
    proving = PROVABLE if proof is None else len(proof)
    ranked = choices(looked, stages, limit, proving, bench.several)
    cascade, estimates = Cascade(stages[-1:]), {}
    if ranked:
        cascade = ranked[0].cascade
        ratio = looked.seconds[REFERENCE] / ranked[0].seconds
        tell(f"{ranked[0].name}: some {ratio:.1f} times the encoder, by what validation saw")
    if ranked and proof is not None:
        did = {
            "fitting": ("fitted the encoder and the linear stage", given.documents),
            "choosing": ("chose the epoch, stages, temperatures, weights and path", judges),
        }
        parts = [Part(n, what, len(d), fingerprint(d.contents)) for n, (what, d) in did.items()]
        cascade = prove_cascade(bench, cascade, proof, limit, parts=parts)
        start = f"{limit:.2%}: "
        lines = [line for line in cascade.certificates.lines() if line.startswith(start)]
        lines = [f"net loss of at most {line}" for line in lines]
    elif ranked:
        marked = path_marks(cascade, looked, bench.several)
        estimates = {
            each: _estimate(marked, ranked[0].path.changes <= each) for each in (*LIMITS, limit)
        }
        lines = [_estimated(limit, **estimates[limit])]
    else:
        lines = [_nothing(limit, proving)]
    which = "validation documents" if proof is None else "documents that did nothing else"
    figures, line = _together(bench, stages[-1], judges if proof is None else proof, which)
    speed = looked.seconds[REFERENCE] / looked.seconds[LINEAR]
    alone = f"the linear stage alone is some {speed:.0f} times as fast as the encoder"
    for said in (*lines, line, alone):
        tell(said)
    seconds = {stage.name: looked.seconds[stage.name] for stage in stages}
    return cascade, {"limit": limit, "seconds": seconds, "estimates": estimates} | figures


def _choosing(given: Material) -> Documents:
    """Return the validation documents, each once, that no training document equals."""
    judges = given.validation
    return judges.select(different(judges.contents, without=given.documents.contents))


def _estimate(marked: tuple[Any, ...], fits: np.ndarray) -> dict[str, int]:
    """Count what happens at the loosest point before the first that does not fit."""
    early, worse, better = marked
    point = max(0, int(np.logical_and.accumulate(fits).sum()) - 1)
    names = "documents", "early", "worse", "better"
    counts = len(early[point]), *(int(each[point].sum()) for each in (early, worse, better))
    return dict(zip(names, counts, strict=True))


def _estimated(limit: float, documents: int, early: int, worse: int, better: int) -> str:
    needed = documents_for_net_loss(limit, worse / documents, better / documents)
    more = "no number of documents that can be had would prove it at this rate"
    if needed is not None:
        more = f"some {needed:,} other labelled documents would prove it at this rate"
    return (
        f"an estimate, no certificate: at a net loss of {limit:.2%}, {early} of the {documents:,} "
        "validation documents, which chose the path, would be answered before the encoder, of them "
        f"{worse} turned wrong and {better} right; {more}, and until then the encoder reads all"
    )


def _nothing(limit: float, proving: int) -> str:
    """Say why nothing is answered early."""
    needed = documents_needed(limit)
    why = "no stage saves work within it on the validation documents"
    if proving < needed:
        why = f"it takes {needed:,} documents to prove, and {proving:,} were set apart"
    return f"net loss of at most {limit:.2%}: {why}, so the model answers alone"


def _together(
    bench: Bench, reference: Stage, documents: Documents, which: str
) -> tuple[dict[str, Any], str]:
    """Say how the linear stage, the encoder and both together do on documents, all read in full."""
    encoded, several = bench.encode(documents), bench.several
    raw, evidence = (bench.run(Stage(kind), encoded)[0] for kind in (REFERENCE, LINEAR))
    both = to_logits(to_log_probabilities(raw, reference, several, evidence), several)
    judged = bench.referee.wanted(documents, None), bench.referee.space.problem_type
    accuracy, error = {}, {}
    for name, each in ("linear", to_logits(evidence, several)), ("encoder", raw), ("both", both):
        accuracy[name] = float(right_documents(each.numpy(), *judged).mean())
        error[name] = calibration_error(each.numpy(), *judged)
    weight = f"a weight of {reference.weight:.2f} for the linear stage's evidence"
    line = (
        f"the encoder alone: {accuracy['encoder']:.1%} of {len(documents):,} {which} right; with "
        f"{weight} {accuracy['both']:.1%}, and at a temperature of {reference.temperature:.2f} a "
        f"calibration error of {error['both']:.1%} instead of {error['encoder']:.1%}"
    )
    return {"documents": len(documents), "accuracy": accuracy, "calibration_error": error}, line
