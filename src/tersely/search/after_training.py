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

import torch

from tersely._io import describe_machine
from tersely.cascade import LINEAR, REFERENCE, Cascade, Stage, to_log_probabilities, to_logits
from tersely.certificates import Part, different, documents_for_net_loss, documents_needed
from tersely.errors import DataError, ModelError
from tersely.linear import LinearFit, LinearStage
from tersely.modeling import TerselyForSequenceClassification
from tersely.modeling.cascading import fit_beside, linear_log_probabilities
from tersely.search.find import choices, path_marks, prove_cascade
from tersely.search.stages import StageRunner, plan_stages
from tersely.text import Documents
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.metrics import calibration_error, right_documents, spell_share
from tersely.trained import TrainedModel
from tersely.training.fit import PROVABLE, Material

FEWEST = 25  # validation documents by which a cascade can be set


def first_verdict(
    original: TrainedModel,
    fit: LinearFit | None,
    given: Material,
    train: Any,
    limit: float,
    tell: Callable[[str], None],
) -> LinearFit | None:
    """Fit the linear stage and tell what it is worth alone; None where no cascade can follow.

    Where too few documents are held out to prove the `limit`, that is told, too. `original` is not
    trained yet, `fit` is there where its plan needed it, and `train` are encoded, with `labels`.
    """
    began, space = time.perf_counter(), original.label_space
    if space.problem_type == REGRESSION:
        tell("no cascade: it needs classes, and a regression has none")
        return None
    if given.validation is None:
        tell("no cascade: it needs validation documents, and there are none")
        return None
    try:
        given_to = train.encoded, train.labels, original.tokenizer
        how = {"sample_weight": train.weights, "progress": given.progress}
        fit = fit or fit_beside(original.model, *given_to, **how)
    except DataError as error:
        tell(f"no cascade: {error}")
        return None
    judges = _judges(given)
    enough = len(judges) >= FEWEST
    answers, labels = torch.from_numpy(fit.log_probabilities), train.labels
    which = "training documents, out of fold,"
    if enough:
        encoded = original.encode(judges.texts, judges.pairs, tell=False)
        answers = linear_log_probabilities(fit.stage, encoded).cpu()
        labels, which = space.encode(judges.labels, unseen="skip"), "validation documents"
    logits = to_logits(answers, space.problem_type == MULTI_LABEL).numpy()
    share = spell_share(right_documents(logits, labels, space.problem_type), which)
    tell(f"the linear stage alone: {share}, after {time.perf_counter() - began:.1f} s")
    if not enough:
        tell(
            f"no cascade: it needs {FEWEST} validation documents that are not among the training "
            f"documents, got {len(judges)}; a tenth of {10 * FEWEST} documents would be enough"
        )
    if enough and len(given.proof or ()) < (needed := documents_needed(limit)):
        held_out = f"{max(needed, PROVABLE // 10):,} held-out documents, a tenth of those given"
        tell(f"a net loss of at most {limit:.2%} will not be proven: it takes {held_out}")
    return fit if enough else None


def cascade_after(
    original: TrainedModel,
    linear: LinearStage,
    given: Material,
    limit: float,
    stacking: bool,
    tell: Callable[[str], None],
) -> tuple[TerselyForSequenceClassification, dict[str, Any]]:
    """Return a model that has just been trained under its cascade, and the cascade's record.

    The linear stage is fitted on the training documents alone; `limit` is on the net loss against
    the reference, which is the trained model, whatever its plan. Bold plans stand before a dense
    one only. No point is in use where no limit is proven.
    """
    began = time.perf_counter()
    runner = StageRunner(original, "loss", given.progress)
    judges, proof = _judges(given), given.proof
    runner.model = runner.model.beside(linear)
    plans = plan_stages(runner.model.plan.depth, True) if original.plan.is_dense else ()
    stages = [Stage(LINEAR), *plans, Stage(REFERENCE)]
    stages, looked = runner.look(stages, judges, fit_temperatures=True, stacking=stacking)
    proving = PROVABLE if proof is None else len(proof)
    ranked, why = [], "no stage saves work within this limit on the validation documents"
    if proving < documents_needed(limit):
        why = "too few documents are held out to prove it"
    try:
        runner.check_steady(judges, limit)
        ranked = choices(looked, stages, limit, proving, runner.several)
    except ModelError as error:
        why = str(error)
    record: dict[str, Any] = {"limit": limit, "seconds": looked.seconds, "estimate": None}
    record["machine"] = describe_machine()
    cascade = Cascade(stages[-1:])
    if not ranked:
        tell(f"net loss of at most {limit:.2%}: the model answers alone, since {why}")
    else:
        cascade = ranked[0].cascade
        ratio = looked.seconds[REFERENCE] / ranked[0].seconds
        tell(f"{ranked[0].name}: some {ratio:.1f} times as fast as the encoder, in validation")
        if proof is None:
            marked = path_marks(cascade.stages, cascade.path, looked, runner.several)
            counts = [int(each[ranked[0].point].sum()) for each in marked]
            record["estimate"] = dict(zip(("early", "worse", "better"), counts, strict=True))
            tell(_estimated(limit, len(judges), *counts))
        else:
            fitted = "fitted the encoder and the linear stage", given.documents.contents
            chose = "chose the epoch, stages, temperatures, weights and path", judges.contents
            parts = [Part.of("fitting", *fitted), Part.of("choosing", *chose)]
            cascade = prove_cascade(runner, cascade, proof, limit, parts=parts)
            tell(f"net loss of at most {cascade.certificates.lines(limit)[0]}")
    which = "validation documents" if proof is None else "held-out documents"
    figures, line = _together(runner, stages[-1], judges if proof is None else proof, which)
    speed = looked.seconds[REFERENCE] / looked.seconds[LINEAR]
    tell(f"{line}; the linear stage alone is about {speed:.0f} times as fast as the encoder")
    model = original.model.under_cascade(cascade, linear if cascade.needs_linear else None)
    return model, record | figures | {"took": time.perf_counter() - began}


def _judges(given: Material) -> Documents:
    """Return the validation documents, each once, that no training document equals."""
    judges = given.validation
    return judges.select(different(judges.contents, without=given.documents.contents))


def _estimated(limit: float, documents: int, early: int, worse: int, better: int) -> str:
    needed = documents_for_net_loss(limit, worse / documents, better / documents)
    more = "no realistic number of" if needed is None else f"about {needed:,}"
    return (
        "this is an estimate, not a certificate, so the encoder reads every document: earlier "
        f"stages would answer {early} of the {documents:,} validation documents, of which {worse} "
        f"turned wrong and {better} right; proving a net loss of at most {limit:.2%} at this rate "
        f"takes {more} other labelled documents"
    )


def _together(
    runner: StageRunner, reference: Stage, documents: Documents, which: str
) -> tuple[dict[str, Any], str]:
    """Say how the linear stage, the encoder and both together do on documents, all read in full."""
    encoded, several = runner.encode(documents), runner.several
    raw, evidence = (runner.run(Stage(kind), encoded)[0] for kind in (REFERENCE, LINEAR))
    both = to_logits(to_log_probabilities(raw, reference, several, evidence), several)
    answers = {"linear": to_logits(evidence, several), "encoder": raw, "both": both}
    judged = runner.wanted(documents, None), runner.space.problem_type
    right = {n: right_documents(e.numpy(), *judged).mean() for n, e in answers.items()}
    error = {n: calibration_error(e.numpy(), *judged) for n, e in answers.items()}
    line = (
        f"of {len(documents):,} {which} the encoder alone has {right['encoder']:.1%} right, and "
        f"{right['both']:.1%} with the linear stage's evidence (weight {reference.weight:.2f}); "
        f"calibration errors {error['encoder']:.1%} and {error['both']:.1%}"
    )
    return {"documents": len(documents), "accuracy": right, "calibration_error": error}, line
