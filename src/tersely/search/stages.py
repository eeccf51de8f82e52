"""What the stages of a cascade could be, and what they answer on some documents.

Nothing here trains the encoder: the linear stage is fitted in seconds, and the plans are bold ones
on the model's own weights; those of whom a stage is unsure go on anyway.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from tersely._io import Progress, counting, torch_threads
from tersely.cascade import LINEAR, PLAN, REFERENCE, Stage, to_log_probabilities, to_logits
from tersely.errors import ModelError
from tersely.linear import LinearFit, calibrate, fit_stacking
from tersely.modeling.cascading import fit_beside, linear_log_probabilities, stage_model
from tersely.modeling.inference import run_model
from tersely.reduction import preset
from tersely.text import Documents
from tersely.text.encoding import EncodedDocuments
from tersely.text.labels import MULTI_LABEL
from tersely.text.metrics import predict_from_logits, right_documents
from tersely.trained import TrainedModel

_STEADY = 64  # documents by which it is seen whether a reference agrees with itself


def plan_stages(depth: int, linear: bool = False) -> Iterator[Stage]:
    """Yield bold plans that need no training; those of whom they are unsure go on anyway.

    With a linear stage, some choose by it what the encoder reads.
    """
    for keep in (0.1, 0.25) if linear else ():
        plan = preset("choose", keep=keep, score="linear-margin")
        yield Stage(PLAN, replace(plan, name=f"choose keep={keep:g}"))
    for at, keep in (0, 0.1), (0, 0.25), (1, 0.25), (depth // 3, 0.5):
        if at < depth - 1:
            plan = preset("topk", keep=keep, at=at)
            yield Stage(PLAN, replace(plan, name=f"topk keep={keep:g} at={at}"))


@dataclass(frozen=True, eq=False)
class Looked:
    """What stages say of some documents, the reference last.

    Log-probabilities `(documents, classes)` and seconds a document of each stage by its name, and
    whether an answer counts: against the stage, and for it, `(documents,)` bool.
    """

    answers: dict[str, torch.Tensor]
    seconds: dict[str, float]
    worse: dict[str, np.ndarray]
    better: dict[str, np.ndarray] | None


class StageRunner:
    """A model with the stages that its weights allow, run on documents and judged.

    By the criterion `"disagreement"` another label than the reference's counts against a stage; by
    `"loss"`, with the documents' labels, what turns wrong does, and what turns right counts for it.
    `model` is the model of torch, beside which `fit_linear` puts the linear stage. `progress` is
    called with the stage that runs, and how many of how many documents it has read.
    """

    def __init__(
        self, original: TrainedModel, criterion: str = "disagreement", progress: Progress = None
    ) -> None:
        self.progress = progress
        self.original, self.model = original, original.torch_model().alone()
        self.space, self.criterion = original.label_space, criterion
        self.several = self.space.problem_type == MULTI_LABEL

    def wanted(self, documents: Documents, reference: torch.Tensor | None) -> np.ndarray:
        """Return the true labels where these count, or else the reference's, as metrics take them.

        `reference` are the log-probabilities that it gives, `(documents, classes)`.
        """
        if self.criterion == "disagreement":
            given = to_logits(reference, self.several).numpy()
            return predict_from_logits(given, self.space.problem_type)
        return self.space.encode(documents.labels, unseen="skip")

    def judge(
        self, answers: torch.Tensor, reference: torch.Tensor, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which documents count against the answers, and which for them."""
        right, was = (
            right_documents(to_logits(each, self.several).numpy(), wanted, self.space.problem_type)
            for each in (answers, reference)
        )
        return was & ~right, right & ~was

    def encode(self, documents: Documents) -> EncodedDocuments:
        """Tokenise documents."""
        return self.original.encode(documents.texts, documents.pairs, tell=False)

    def run(
        self, stage: Stage, encoded: EncodedDocuments, before: int = 0, of: int = 1
    ) -> tuple[torch.Tensor, float]:
        """Return a stage's logits `(documents, classes)`, and its seconds a document.

        It is told as one of so many after those `before`, so that the time left is that of all.
        """
        what = stage.name if of == 1 else f"stage {before + 1} of {of}, {stage.name}"
        told = counting(self.progress, what, of * len(encoded), before * len(encoded))
        started = time.perf_counter()
        with torch_threads(self.original.threads), torch.inference_mode():
            if stage.kind == LINEAR:
                found = linear_log_probabilities(self.model.linear, encoded).cpu()
            else:
                model = stage_model(self.model, stage)
                logits = run_model(model, encoded, self.original.batch_tokens, told).logits
                found = torch.from_numpy(logits)
        return found, (time.perf_counter() - started) / len(encoded)

    def look(
        self,
        stages: Sequence[Stage],
        documents: Documents,
        *,
        fit_temperatures: bool = False,
        stacking: bool = False,
    ) -> tuple[tuple[Stage, ...], Looked]:
        """Run all stages on documents and judge their answers.

        Args:
            stages: the reference last; those with a weight add the linear stage's evidence.
            documents: single texts or pairs, with labels where the criterion is the loss.
            fit_temperatures: whether plans get temperatures by which they are as sure as right,
                and the reference, where the labels say what is right.
            stacking: whether these get a weight for the linear stage's evidence, too.

        Returns:
            The stages, with their temperatures, and what they say.
        """
        encoded = self.encode(documents)
        seconds, evidence = {}, None
        if any(stage.kind == LINEAR or stage.weight for stage in stages):
            evidence, seconds[LINEAR] = self.run(Stage(LINEAR), encoded)
        raw, slow = {LINEAR: evidence}, [stage for stage in stages if stage.kind != LINEAR]
        for before, stage in enumerate(slow):
            raw[stage.name], seconds[stage.name] = self.run(stage, encoded, before, len(slow))

        def answer(stage: Stage) -> torch.Tensor:
            return to_log_probabilities(raw[stage.name], stage, self.several, evidence)

        wanted = self.wanted(documents, answer(stages[-1]))
        lossy = self.criterion == "loss"
        if fit_temperatures:
            added = evidence if stacking else None
            stages = [
                fitted(stage, raw[stage.name], wanted, self.several, added)
                if stage.kind == PLAN or (lossy and stage.kind == REFERENCE)
                else stage
                for stage in stages
            ]
        answers = {stage.name: answer(stage) for stage in stages}
        reference = answers[stages[-1].name]
        judged = {n: self.judge(each, reference, wanted) for n, each in answers.items()}
        worse, better = ({name: each[i] for name, each in judged.items()} for i in (0, 1))
        return tuple(stages), Looked(answers, seconds, worse, better if lossy else None)

    def check_steady(self, documents: Documents, limit: float) -> None:
        """Raise a ModelError if more of the reference's labels than the limit hang on company."""
        encoded = self.encode(documents.select(range(min(_STEADY, len(documents)))))
        together, _ = self.run(Stage(REFERENCE), encoded)
        alone = run_model(self.model, encoded, 1).logits  # a token at most is a document a batch
        problem = self.space.problem_type
        right = right_documents(together.numpy(), predict_from_logits(alone, problem), problem)
        if (~right).mean() > limit:
            raise ModelError(
                f"the reference gives {(~right).sum()} of {len(right)} documents another label "
                "alone than in a batch, so that nothing can be proven; run it in float32"
            )

    def fit_linear(self, documents: Documents) -> LinearFit:
        """Fit the linear stage on labels where accuracy counts, or else the reference's answers.

        A DataError says why it cannot be, where the answers are all alike for instance.
        """
        encoded = self.encode(documents)
        reference = None
        if self.criterion == "disagreement":
            last = Stage(REFERENCE)
            reference = to_log_probabilities(self.run(last, encoded)[0], last, self.several)
        wanted = self.wanted(documents, reference)
        if self.several:  # labels that the model does not know are in a further column
            wanted = wanted[:, : self.model.num_labels]
        else:
            known = np.flatnonzero(wanted >= 0)
            encoded, wanted = encoded.select(known), wanted[known]
        fit = fit_beside(self.model, encoded, wanted, self.original.tokenizer)
        self.model = self.model.beside(fit.stage)
        return fit


def fitted(
    stage: Stage,
    logits: torch.Tensor,
    wanted: np.ndarray,
    several: bool,
    evidence: torch.Tensor | None = None,
) -> Stage:
    """Return a stage with the temperature that makes its logits likeliest to give the answers.

    With the linear stage's log-probabilities, `evidence`, it gets a weight, too. `wanted` are
    labels as metrics take them, where those that the model does not know are nobody's.
    """
    classes, given = logits.shape[1], logits.double().numpy()
    held = wanted[:, :classes].astype(bool) if several else wanted[:, None] == np.arange(classes)
    if evidence is not None:
        added = to_logits(evidence, several).double().numpy()
        temperature, weight = fit_stacking(given, added, held, several)
        return replace(stage, temperature=temperature, weight=weight)
    every = np.ones(len(wanted))
    found = calibrate(given, held, every, several, shifted=False)
    return replace(stage, temperature=found.temperature)
