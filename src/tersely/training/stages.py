"""The stages of a training run: dense first where the plan is new to learn, a target, the plan.

A plan that combines tokens or learns is learned from a dense model that tells the labels apart
already; trained from the encoder itself it needs many more steps. The dense model is also the
teacher of what it becomes under the plan: the one of the first stage, or the one to start from, if
it was fine-tuned for these labels. Other plans hold from the first step. What has to come between,
the plan says itself (`Plan.stages`); a run is that list:

    dense     three quarters of the steps      of a new head, under a plan that is new to learn
    saliency  passes of its own                modules learn from the dense model, alone
    soft      half of what is left             tokens only fade; then what was learned is frozen
    plan      the rest
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely.errors import TrainingError
from tersely.modeling import TerselyForSequenceClassification as Model
from tersely.modeling import with_plan
from tersely.modeling.budget import landed, plan_for_target, spread
from tersely.modeling.inference import batches, run_model
from tersely.modeling.modules import frozen_plan
from tersely.reduction import Plan, Stage, preset
from tersely.text.encoding import EncodedDocuments
from tersely.training.recipe import with_recipe
from tersely.training.run import train_model
from tersely.training.settings import TrainingSettings
from tersely.training.trainer import TrainingDocuments

# Training documents on which the MACs of a target are counted.
_COUNTED = 128


@dataclass
class StagedTraining:
    """One training run of a classifier."""

    make: Callable[[Plan, str], Model]  # of a plan and a kind of head, on the device to train on
    plan: Plan  # to train under; for a target, a preset's, of which one option is to be set
    settings: TrainingSettings
    options: Mapping[str, Any] = field(default_factory=dict)  # the preset's, for a target
    target: float | None = None  # MACs ÷ the dense model's; None for what the plan aims at
    batch_tokens: int = 4096  # of a batch without gradients
    checkpoints: Path | None = None  # a folder for the stages'; None for temporary ones
    flow: Mapping[str, Any] = field(default_factory=dict)  # `resume`, `progress` of `train_model`

    def __post_init__(self) -> None:
        self.settings = self.settings.for_plan(self.plan)

    def run(
        self, model: Model, train: TrainingDocuments, held_out: TrainingDocuments | None
    ) -> tuple[Model, dict[str, Any]]:
        """Train a model that starts under the plan; return it, under its last one, and a record."""
        plan = self.plan
        self.settings = with_recipe(self.settings, train.labels, model.backbone.width)
        settings = self.settings
        share = settings.dense_share * settings.epochs
        dense_first = not plan.is_dense and model.head_is_new and share > 0
        taught_by = self._teacher_of(model, train, dense_first)
        target = plan.target if self.target is None else self.target
        preparing = self._preparing(model, dense_first)
        if dense_first or taught_by or preparing or target is not None:
            dense = self.make(preset("dense"), model.config.head)
            model = dense if model.linear is None else dense.beside(model.linear)
        records: dict[str, dict[str, Any]] = {}
        if dense_first:
            own, settings = settings.dense_stage(), settings.plan_stage()
            untaught = replace(train, teacher_logits=None)
            records["dense"] = self._train("dense", model, untaught, held_out, own)
        if taught_by:
            logits = run_model(model, train.encoded, self.batch_tokens).logits
            train = replace(train, teacher_logits=logits)
        goal = None if target is None else self._goal(model, train.encoded, target)
        for stage in preparing:
            model, records[stage.name] = self._prepare(stage, model, train, settings)
        plan = self._aim(model, plan, goal)
        for stage in plan.stages():
            if stage.learned_only:
                continue
            model = _under(model, plan)
            own = settings
            if stage.share is not None:
                parts = replace(settings, dense_share=stage.share)
                own, settings = parts.dense_stage(), parts.plan_stage()
            records[stage.name] = self._train(stage.name, model, train, held_out, own)
            plan = _settled(model, plan, goal)
        return _under(model, plan), self._joined(records) | {"teacher": taught_by}

    def _teacher_of(self, model: Model, train: TrainingDocuments, dense_first: bool) -> str | None:
        """Return which dense model teaches, where the settings want one and nobody was named."""
        settings = self.settings
        lacking = settings.distillation_weight > 0 and train.teacher_logits is None
        lacking = lacking and not self.plan.is_dense and settings.epochs > 0
        if not lacking or (model.head_is_new and not dense_first):
            return None
        return "the dense stage" if dense_first else "the model to start from"

    def _preparing(self, model: Model, dense_first: bool) -> list[Stage]:
        """Return the stages in which modules learn from a dense model, which there must be."""
        stages = [stage for stage in self.plan.stages() if stage.learned_only]
        epochs, share = self.settings.epochs, self.settings.dense_share
        if (stages or epochs == 0) and model.head_is_new and not dense_first:
            raise TrainingError(
                f"with {epochs:g} epochs and a dense_share of {share:g}, {self.plan.name!r} needs "
                "a dense model of these labels, got a new head; raise them, or start from a dense "
                "model that was trained on them"
            )
        return stages

    def _train(
        self,
        stage: str,
        model: Model,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
        settings: TrainingSettings,
    ) -> dict[str, Any]:
        folder = None if self.checkpoints is None else self.checkpoints / stage
        return train_model(model, train, held_out, settings, checkpoints=folder, **self.flow)

    def _prepare(
        self, stage: Stage, dense: Model, train: TrainingDocuments, settings: TrainingSettings
    ) -> tuple[Model, dict[str, Any]]:
        """Let a plan's modules learn on the dense model's weights, and nothing else."""
        if stage.token_targets is not None:
            targets = token_targets(stage, dense, train, self.batch_tokens)
            train = replace(train, token_targets=targets)
        model = with_plan(dense, stage.plan)
        model.requires_grad_(False)
        model.learned.requires_grad_(True)
        # The loss on labels stays as it is, and so no checkpoint is better than the last.
        passes = replace(settings, epochs=max(1.0, settings.epochs), patience=None)
        return model, self._train(stage.name, model, train, None, passes)

    def _goal(self, dense: Model, encoded: EncodedDocuments, target: float) -> dict[str, Any]:
        """Return what `landed` and `plan_for_target` are to be told of a target."""
        sample = encoded.select(spread(len(encoded), _COUNTED))
        goal = {"target": target, "encoded": sample, "batch_tokens": self.batch_tokens}
        return goal | {"dense_macs": run_model(dense, sample, self.batch_tokens).macs}

    def _aim(self, model: Model, plan: Plan, goal: dict[str, Any] | None) -> Plan:
        """Return the plan to train under, for a target: one that starts there, where it can."""
        if goal is None:
            return plan
        if self.target is not None:
            plan = plan_for_target(model, plan.name, self.options, **goal)
        starts = plan.learns and plan.is_adjustable and not plan.is_soft
        return landed(model, plan, **goal) if starts else plan

    def _joined(self, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return one record of all stages: the last one's, with the others inside."""
        if len(records) == 1:
            return records["plan"]
        first, *_, last = records.values()
        asked = {"epochs": self.settings.epochs, "seed": self.settings.seed}
        asked["learning_rate"] = first["settings"]["learning_rate"]
        return (
            last
            | {f"{name}_stage": record for name, record in records.items() if name != "plan"}
            | {name: sum(r[name] for r in records.values()) for name in ("steps", "seconds")}
            | {"settings": last["settings"] | asked}
            | {"resumed": any(record["resumed"] for record in records.values())}
        )


def _settled(model: Model, plan: Plan, goal: dict[str, Any] | None) -> Plan:
    """Freeze what was learned, and land on the target once more.

    Scores move in training, and with them how many fall below a threshold.
    """
    plan = frozen_plan(plan, model)
    return plan if goal is None or not plan.is_adjustable else landed(model, plan, **goal)


def _under(model: Model, plan: Plan) -> Model:
    return model if model.config.reduction_plan() == plan else with_plan(model, plan)


def token_targets(
    stage: Stage, dense: Model, train: TrainingDocuments, batch_tokens: int
) -> list[np.ndarray]:
    """Compute what a stage's modules learn from, `(tokens,)` for each window of the documents."""
    encoded = train.encoded
    starts, counts = encoded.starts, encoded.counts
    found: list[np.ndarray] = [np.empty(0)] * len(encoded.windows)
    for numbers, inputs in batches(encoded, batch_tokens, dense.device):
        labels = torch.from_numpy(train.labels[numbers]).to(dense.device)
        row = stage.token_targets(dense, inputs, labels).cpu()
        windows = [starts[n] + i for n in numbers for i in range(counts[n])]
        for window, values in zip(windows, row.split(inputs["lengths"]), strict=True):
            found[window] = values.numpy()
    return found
