"""The stages of a training run: dense first where the plan is new to learn, a target, the plan.

A plan that combines tokens or learns is learned from a dense model that tells the labels apart
already; trained from the encoder itself it needs many more steps. The dense model is also the
teacher of what it becomes under the plan: the one of the first stage, or the one to start from, if
it was fine-tuned for these labels. Other plans hold from the first step.
A predictor first learns what matters to it. What a plan learns is frozen at the end; after a soft
stage, which only fades tokens, training goes on under the frozen plan, which drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tersely.errors import TrainingError
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.budget import landed, plan_for_target, spread
from tersely.modeling.inference import run_model
from tersely.modeling.learned import frozen_plan
from tersely.reduction import Plan, preset
from tersely.text.encoding import EncodedDocuments
from tersely.training.distillation import check_hidden_teacher
from tersely.training.lessons import document_saliency, pupil
from tersely.training.run import train_model
from tersely.training.settings import TrainingSettings
from tersely.training.trainer import TrainingDocuments

__all__ = ["StagedTraining"]

# Training documents on which the MACs of a target are counted.
_COUNTED = 128
# Of the steps under a plan with a soft stage, the share of that stage.
_SOFT_SHARE = 0.5


@dataclass
class StagedTraining:
    """One training run of a classifier.

    Args:
        make: makes a new model for a plan and a kind of head, on the device to train on.
        plan: what to train under; for a target, a preset's plan of which one option is to be set.
        options: the preset's options, for a target.
        target: MACs to reach, over those of the dense model; None for what the plan aims
            at, if it does.
        settings: how to train.
        batch_tokens: tokens of a batch where the model runs without gradients.
        checkpoints: folder for the stages' checkpoints; None for temporary ones.
        flow: `resume` and `progress`, as `train_model` takes them.
    """

    make: Callable[[Plan, str], TerselyForSequenceClassification]
    plan: Plan
    settings: TrainingSettings
    options: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None
    batch_tokens: int = 4096
    checkpoints: Path | None = None
    flow: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = self.settings.for_plan(self.plan)

    def run(
        self,
        model: TerselyForSequenceClassification,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
        teacher: TerselyForSequenceClassification | None = None,
    ) -> tuple[TerselyForSequenceClassification, dict[str, Any]]:
        """Train.

        Args:
            model: the model under the plan, as it starts.
            train: what to train on; gets the dense model's logits if it has none of a teacher.
            held_out: what to choose the best checkpoint by, or None.
            teacher: another model to compare hidden states with, if that is asked for.

        Returns:
            The trained model, and the record of the run; `plan` is then the one that was trained.
        """
        settings, records, taught_by = self.settings, {}, None
        if settings.hidden_distillation > 0:
            check_hidden_teacher(self.plan, model, teacher)
        removes, lacking = not self.plan.is_dense, self._lacks_teacher(train, teacher)
        staged = removes and model.head_is_new and settings.dense_share > 0
        taught = removes and lacking and (staged or not model.head_is_new)
        target = self.plan.target if self.target is None else self.target
        learns_first = self.plan.needs_saliency
        if learns_first and model.head_is_new and not staged:
            raise TrainingError(
                f"{self.plan.name!r} learns from a dense model of these labels, got a new head and "
                f"a dense_share of {settings.dense_share:g}; raise it, or start from a dense "
                "model that was trained on them"
            )
        if staged or taught or learns_first or target is not None:
            model = self.make(preset("dense"), model.config.head)
        width = model.backbone.width
        if staged:
            records["dense"] = self._train_dense(model, train, held_out)
            settings = settings.plan_stage(width)
        if taught:
            taught_by = "the dense stage" if staged else "the model to start from"
            self._let_teach(model, train)
            teacher = teacher or model
        goal = None if target is None else self._set_goal(model, train, target)
        if learns_first:
            records["saliency"], model = self._teach_predictor(model, train, settings)
        if goal is not None:
            self.plan = self._aim(model, goal)
        if model.config.reduction_plan() != self.plan:
            model = with_plan(model, self.plan)
        if self.plan.is_soft:
            parts = replace(settings, dense_share=_SOFT_SHARE)
            soft = parts.dense_stage(width)
            records["soft"] = self._train("soft", model, train, held_out, soft)
            model = self._settle(model, goal)
            settings = parts.plan_stage(width)
        records["plan"] = self._train("plan", model, train, held_out, settings, teacher)
        model = self._settle(model, goal)
        return model, self._joined(records) | {"teacher": taught_by}

    def _train(
        self,
        stage: str,
        model: TerselyForSequenceClassification,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
        settings: TrainingSettings,
        teacher: TerselyForSequenceClassification | None = None,
    ) -> dict[str, Any]:
        folder = None if self.checkpoints is None else self.checkpoints / stage
        flow = {"teacher": teacher, "checkpoints": folder, **self.flow}
        return train_model(model, train, held_out, settings, **flow)

    def _train_dense(
        self,
        model: TerselyForSequenceClassification,
        train: TrainingDocuments,
        held_out: TrainingDocuments | None,
    ) -> dict[str, Any]:
        """Train the dense model, without a teacher."""
        settings = self.settings.dense_stage(model.backbone.width)
        untaught = replace(train, teacher_logits=None)
        return self._train("dense", model, untaught, held_out, settings)

    def _lacks_teacher(
        self, train: TrainingDocuments, teacher: TerselyForSequenceClassification | None
    ) -> bool:
        """Whether the settings ask for a teacher and nobody was named."""
        by_logits = self.settings.distillation_weight > 0 and train.teacher_logits is None
        return by_logits or (self.settings.hidden_distillation > 0 and teacher is None)

    def _let_teach(self, dense: TerselyForSequenceClassification, train: TrainingDocuments) -> None:
        """Take a dense model's logits, before the plan is switched on."""
        if self.settings.distillation_weight > 0 and train.teacher_logits is None:
            train.teacher_logits = run_model(dense, train.encoded, self.batch_tokens).logits

    def _teach_predictor(
        self,
        dense: TerselyForSequenceClassification,
        train: TrainingDocuments,
        settings: TrainingSettings,
    ) -> tuple[dict[str, Any], TerselyForSequenceClassification]:
        """Let predictors learn the dense model's saliency, and nothing else learn anything."""
        train.saliency = document_saliency(dense, train, self.batch_tokens)
        model = pupil(dense, self.plan)
        # The loss on labels stays as it is, and so no checkpoint is better than the last; nothing
        # is dropped yet, and so a teacher's hidden states are the model's own.
        passes = replace(
            settings, epochs=max(1.0, settings.epochs), patience=None, hidden_distillation=0.0
        )
        return self._train("saliency", model, train, None, passes), model

    def _set_goal(
        self, model: TerselyForSequenceClassification, train: TrainingDocuments, target: float
    ) -> _Goal:
        sample = train.encoded.select(spread(len(train), _COUNTED))
        whole = run_model(model, sample, self.batch_tokens).macs
        return _Goal(target, sample, whole)

    def _aim(self, model: TerselyForSequenceClassification, goal: _Goal) -> Plan:
        """The plan to train under, for a target: one that starts there, where it can."""
        plan = self.plan
        if self.target is not None:
            plan = plan_for_target(
                model,
                plan.name,
                self.options,
                self.target,
                goal.sample,
                dense_macs=goal.whole,
                batch_tokens=self.batch_tokens,
            )
        starts = plan.learns and plan.is_adjustable and not plan.is_soft
        return self._land(model, plan, goal) if starts else plan

    def _land(self, model: TerselyForSequenceClassification, plan: Plan, goal: _Goal) -> Plan:
        return landed(
            model,
            plan,
            goal.target,
            goal.sample,
            dense_macs=goal.whole,
            batch_tokens=self.batch_tokens,
        )

    def _settle(
        self, model: TerselyForSequenceClassification, goal: _Goal | None
    ) -> TerselyForSequenceClassification:
        """Freeze what was learned, and land on the target once more.

        Scores move in training, and with them how many fall below a threshold.
        """
        plan = frozen_plan(self.plan, model)
        if goal is not None and plan.is_adjustable:
            plan = self._land(model, plan, goal)
        if plan == self.plan:
            return model
        self.plan = plan
        return with_plan(model, plan)

    def _joined(self, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """One record of all stages: the last one's, with the others inside."""
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


@dataclass(frozen=True)
class _Goal:
    """A target for the MACs, and how it is counted.

    Attributes:
        target: over the dense model's.
        sample: the documents to count on.
        whole: what the dense model takes for them.
    """

    target: float
    sample: EncodedDocuments
    whole: float
