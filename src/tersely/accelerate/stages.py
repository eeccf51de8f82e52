"""What the stages of a cascade could be, and what they answer on some of the texts.

Nothing here trains the encoder: the linear stage is fitted in seconds, and the plans are bold ones
on the original's own weights; those of whom a stage is unsure go on anyway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from tersely._io import torch_threads
from tersely.cascade import LINEAR, PLAN, REFERENCE, Stage, to_log_probabilities, to_logits
from tersely.classifier import Classifier
from tersely.linear import LinearFit, LinearStage, calibrate
from tersely.modeling.cascading import fit_beside, linear_log_probabilities, stage_model
from tersely.modeling.inference import run_model
from tersely.reduction import preset
from tersely.text.encoding import EncodedDocuments
from tersely.text.labels import MULTI_LABEL
from tersely.text.metrics import predict_from_logits, right_documents


def plan_stages(depth: int, linear: bool = False) -> Iterator[Stage]:
    """Yield bold plans that need no training; those of whom they are unsure go on anyway.

    With a linear stage, some choose by it what the encoder reads.
    """
    for keep in (0.1, 0.25) if linear else ():
        yield Stage(PLAN, replace(preset("choose", keep=keep), name=f"choose keep={keep:g}"))
    for at, keep in (0, 0.1), (0, 0.25), (1, 0.25), (depth // 3, 0.5):
        if at < depth - 1:
            plan = preset("topk", keep=keep, at=at)
            yield Stage(PLAN, replace(plan, name=f"topk keep={keep:g} at={at}"))


@dataclass(frozen=True, eq=False)
class Looked:
    """What stages say of one part's documents.

    Log-probabilities `(documents, classes)` and seconds a document of each stage by its name, and
    whether an answer counts: against the stage, and for it, `(documents,)` bool.
    """

    answers: dict[str, torch.Tensor]
    seconds: dict[str, float]
    worse: dict[str, np.ndarray]
    better: dict[str, np.ndarray] | None


class Referee:
    """Says what an answer counts, by the reference's answers and, where there are, the labels."""

    def __init__(self, original: Classifier, labels: np.ndarray | None) -> None:
        self.problem_type = original.label_space.problem_type
        self.several = self.problem_type == MULTI_LABEL
        self.labels = labels

    @property
    def criterion(self) -> str:
        """What a limit is on."""
        return "disagreement" if self.labels is None else "loss"

    def judge(
        self, answers: torch.Tensor, reference: torch.Tensor, numbers: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which documents turned wrong, and which right; without labels, which differ."""
        given, before = (to_logits(each, self.several).numpy() for each in (answers, reference))
        if self.labels is None:
            wanted = predict_from_logits(before, self.problem_type)
            differs = ~right_documents(given, wanted, self.problem_type)
            return differs, np.zeros_like(differs)
        wanted = self.labels[list(numbers)]
        right, was = (right_documents(each, wanted, self.problem_type) for each in (given, before))
        return was & ~right, right & ~was


class Bench:
    """The original with its stages, run on parts of the texts."""

    def __init__(self, original: Classifier, texts: Sequence[str], referee: Referee) -> None:
        self.original, self.texts, self.referee = original, texts, referee
        self.model = original.torch_model()
        self.several = referee.several

    def encode(self, numbers: Sequence[int]) -> EncodedDocuments:
        """Tokenise some of the texts."""
        return self.original.encode([self.texts[number] for number in numbers], tell=False)

    def run(
        self, stage: Stage, encoded: EncodedDocuments, linear: LinearStage | None
    ) -> tuple[torch.Tensor, float]:
        """Return a stage's logits `(documents, classes)`, and its seconds a document."""
        started = time.perf_counter()
        with torch_threads(self.original.threads), torch.inference_mode():
            if stage.kind == LINEAR:
                found = linear_log_probabilities(linear, encoded)
            else:
                budget = self.original.batch_tokens
                model = self.model if linear is None else self.model.beside(linear)
                logits = run_model(stage_model(model, stage), encoded, budget).logits
                found = torch.from_numpy(logits)
        return found, (time.perf_counter() - started) / len(encoded)

    def look(
        self,
        stages: Sequence[Stage],
        numbers: Sequence[int],
        linear: LinearStage | None,
        *,
        calibrate: bool = False,
    ) -> tuple[list[Stage], Looked]:
        """Run all stages on a part and judge their answers; `calibrate` fits plans' temperatures.

        Returns:
            The stages, with their temperatures, and what they and the reference say.
        """
        encoded = self.encode(numbers)
        answers, seconds, worse, better = {}, {}, {}, {}
        used = []
        for stage in (Stage(REFERENCE), *stages):
            logits, seconds[stage.name] = self.run(stage, encoded, linear)
            if calibrate and stage.kind == PLAN:
                before = to_logits(answers[REFERENCE], self.several).numpy()
                wanted = predict_from_logits(before, self.referee.problem_type)
                fitted = fitted_temperature(logits, wanted, self.several)
                stage = replace(stage, temperature=fitted)
            used.append(stage)
            answers[stage.name] = to_log_probabilities(logits, stage, self.several)
            judged = self.referee.judge(answers[stage.name], answers[REFERENCE], numbers)
            worse[stage.name], better[stage.name] = judged
        better = None if self.referee.labels is None else better
        return used[1:], Looked(answers, seconds, worse, better)

    def fit_linear(self, numbers: Sequence[int]) -> LinearFit:
        """Fit the linear stage on the reference's answers; on labels, where accuracy counts."""
        encoded = self.encode(numbers)
        if self.referee.labels is None:
            logits, _ = self.run(Stage(REFERENCE), encoded, None)
            wanted = predict_from_logits(logits.numpy(), self.referee.problem_type)
        else:
            wanted = self.referee.labels[list(numbers)]
        return fit_beside(self.model, encoded, wanted, self.original.tokenizer.all_special_ids)


def fitted_temperature(logits: torch.Tensor, wanted: np.ndarray, several: bool) -> float:
    """Return the temperature that makes logits `(documents, classes)` likeliest to give answers."""
    held = wanted.astype(bool) if several else wanted[:, None] == np.arange(logits.shape[1])
    every = np.ones(len(wanted))
    return calibrate(logits.double().numpy(), held, every, several, shifted=False).temperature
