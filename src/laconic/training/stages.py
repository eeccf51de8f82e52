"""The stages of a training run: dense first where the head is new, a target to reach, the plan.

A plan is learned from a dense model that tells the labels apart already; trained from the encoder
itself it needs many more steps. The dense model is also the teacher of what it becomes under the
plan: the one of the first stage, or the one to start from, if it was fine-tuned for these labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from laconic.inference import run_model
from laconic.model import LaconicForSequenceClassification, with_plan
from laconic.reduction import Plan, Threshold, preset
from laconic.training.budget import plan_for_target
from laconic.training.distillation import check_hidden_teacher
from laconic.training.run import train_model
from laconic.training.settings import TrainingSettings
from laconic.training.trainer import TrainingDocuments

__all__ = ["StagedTraining"]

# Training documents on which the multiply-adds of a target are counted.
_COUNTED = 128


@dataclass
class StagedTraining:
    """One training run of a classifier.

    Args:
        make: makes a new model for a plan and a kind of head, on the device to train on.
        plan: what to train under; for a target, a preset's plan of which one option is to be set.
        options: the preset's options, for a target.
        target: multiply-adds to reach, over those of the dense model; None to take the plan as is.
        settings: how to train.
        batch_tokens: tokens of a batch where the model runs without gradients.
        checkpoints: folder for the stages' checkpoints; None for temporary ones.
        flow: `resume` and `progress`, as `train_model` takes them.
    """

    make: Callable[[Plan, str], LaconicForSequenceClassification]
    plan: Plan
    settings: TrainingSettings
    options: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None
    batch_tokens: int = 4096
    checkpoints: Path | None = None
    flow: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        model: LaconicForSequenceClassification,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
        teacher: LaconicForSequenceClassification | None = None,
    ) -> tuple[LaconicForSequenceClassification, dict[str, Any]]:
        """Train.

        Args:
            model: the model under the plan, as it starts.
            train: what to train on; gets the dense model's logits if it has none of a teacher.
            held_out: what to choose the best checkpoint by, or None.
            teacher: another model to compare hidden states with, if that is asked for.

        Returns:
            The trained model, and the record of the run; `plan` is then the one that was trained.
        """
        settings, first, whole, taught_by = self.settings, None, None, None
        if settings.hidden_distillation > 0:
            check_hidden_teacher(self.plan, model, teacher)
        removes = not self.plan.is_dense
        staged = removes and model.head_is_new and settings.dense_share > 0
        taught = removes and not model.head_is_new and self._lacks_teacher(train, teacher)
        if staged or taught or self.target is not None:
            model = self.make(preset("dense"), model.config.head)
        if staged:
            first = self._train_dense(model, train, held_out)
            settings = settings.plan_stage(model.backbone.width)
        if (staged or taught) and self._lacks_teacher(train, teacher):
            taught_by = "the dense stage" if staged else "the model to start from"
            self._let_teach(model, train)
            teacher = teacher or model
        if self.target is not None:
            whole = self._reach_target(model, train)
        if model.config.reduction_plan() != self.plan:
            model = with_plan(model, self.plan)
        record = train_model(
            model,
            train,
            held_out,
            settings,
            teacher=teacher,
            checkpoints=self._folder("plan"),
            **self.flow,
        )
        record["teacher"] = taught_by
        if whole is not None and any(isinstance(s.select, Threshold) for s in self.plan.steps):
            # Scores move in training, and with them how many fall below a threshold.
            self._reach_target(model, train, whole)
            model = with_plan(model, self.plan)
        return model, record if first is None else self._joined(first, record)

    def _train_dense(
        self,
        model: LaconicForSequenceClassification,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
    ) -> dict[str, Any]:
        """Train the dense model."""
        return train_model(
            model,
            replace(train, teacher_logits=None),
            held_out,
            self.settings.dense_stage(model.backbone.width),
            checkpoints=self._folder("dense"),
            **self.flow,
        )

    def _lacks_teacher(
        self, train: TrainingDocuments, teacher: LaconicForSequenceClassification | None
    ) -> bool:
        """Whether the settings ask for a teacher and nobody was named."""
        by_logits = self.settings.distillation_weight > 0 and train.teacher_logits is None
        return by_logits or (self.settings.hidden_distillation > 0 and teacher is None)

    def _let_teach(self, dense: LaconicForSequenceClassification, train: TrainingDocuments) -> None:
        """Take a dense model's logits, before the plan is switched on."""
        if self.settings.distillation_weight > 0 and train.teacher_logits is None:
            train.teacher_logits = run_model(dense, train.encoded, self.batch_tokens).logits

    def _reach_target(
        self,
        model: LaconicForSequenceClassification,
        train: TrainingDocuments,
        dense_multiply_adds: float | None = None,
    ) -> float:
        """Set the plan that reaches the target, and say what the dense model takes."""
        count = min(_COUNTED, len(train))
        numbers = np.linspace(0, len(train) - 1, count).astype(int).tolist()
        sample = train.encoded.select(numbers)
        if dense_multiply_adds is None:
            dense_multiply_adds = run_model(model, sample, self.batch_tokens).multiply_adds
        self.plan = plan_for_target(
            model,
            self.plan.name,
            self.options,
            self.target,
            sample,
            dense_multiply_adds=dense_multiply_adds,
            batch_tokens=self.batch_tokens,
        )
        return dense_multiply_adds

    def _joined(self, first: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        """One record of both stages."""
        asked = {"epochs": self.settings.epochs, "seed": self.settings.seed}
        asked["learning_rate"] = first["settings"]["learning_rate"]
        return record | {
            "dense_stage": first,
            "settings": record["settings"] | asked,
            "steps": first["steps"] + record["steps"],
            "seconds": first["seconds"] + record["seconds"],
            "resumed": first["resumed"] or record["resumed"],
        }

    def _folder(self, stage: str) -> Path | None:
        return None if self.checkpoints is None else self.checkpoints / stage
