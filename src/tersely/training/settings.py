"""The settings of a training run, and what transformers' Trainer makes of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tersely.errors import TrainingError, require

if TYPE_CHECKING:
    from tersely.reduction import Plan

__all__ = ["TrainingSettings"]


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    """Return a field whose metadata describe it to whoever makes options of the settings.

    `help` is a sentence, `common` says whether the setting has an option of its own, `shown` stands
    in the place of the default.
    """
    return field(default=default, metadata={"help": text} | metadata)


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        epochs: passes over the training documents.
        learning_rate: peak of the schedule; None for 5e-5 at width 768 (transformers' default),
            and in inverse proportion to the encoder's width: narrow encoders take larger steps.
        batch_tokens: tokens of a packed batch, which is one optimiser step.
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of AdamW.
        attention_dropout: probability of dropping an attention weight; None for the encoder's own.
            0 by default: see `TerselyConfig`.
        seed: of the shuffles, new weights and dropout.
        dense_share: share of the steps that train the encoder dense, before the plan is switched on
            for the rest, with the dense model as its teacher; 0 trains under the plan throughout.
            None for 0.75 where the plan combines tokens or learns, or the teacher's hidden states
            are asked for, and 0 else: `topk` came to 59.1 % with 0 and to 54.2 with 0.75 on the
            demo's documents (dense: 60.5; 196 steps, seed 0, 2026-11-22).
            It applies where the classification head is new: a model that was fine-tuned already
            starts with the plan. With other starting vectors of the combination tokens, it took
            `focus-pfc` on 1,200 documents of R8 from 84.0 to 93.5 % (dense: 95.8; docs/results.md).
        patience: stop after this many evaluations without a lower validation loss; None for never.
        distillation_weight: share of the teacher's KL in the loss, if there is a teacher.
        temperature: of the distillation.
        hidden_distillation: weight of the squared distance between the last hidden states of the
            tokens that survive and a dense teacher's, which runs alongside; 0 for none. DynamicViT
            takes 0.5. The teacher is the dense stage's model, or the one that is given.
        random_lengths: random configurations a step for a plan that is trained for all its shares
            (`lat`), besides the full and the smallest one; the paper's 2.
        gradient_checkpointing: save memory by computing each block twice.
        mixed_precision: bfloat16 where the device has it.
        save_minutes: also save a checkpoint after about this many minutes, so that a long epoch can
            be resumed.
        report_to: reporting tools that the Trainer knows.
        extra: any other `TrainingArguments` of transformers.
    """

    epochs: float = _setting(3.0, "How often to pass over the training documents.")
    learning_rate: float | None = _setting(
        None, "The peak of the learning rate's schedule.", shown="5e-5 × 768 ÷ width"
    )
    batch_tokens: int = _setting(4096, "How many tokens a batch holds, which is one step.")
    warmup: float = _setting(
        0.1, "The share of the steps in which the learning rate rises.", common=False
    )
    weight_decay: float = _setting(0.01, "How strongly AdamW decays the weights.", common=False)
    attention_dropout: float | None = _setting(
        0.0,
        "The probability of dropping an attention weight; none for the encoder's.",
        common=False,
    )
    seed: int = _setting(0, "The seed of the shuffles, of new weights and of dropout.")
    dense_share: float | None = _setting(
        None,
        "The share of the steps that train dense, before the method is switched on.",
        common=False,
        shown="0.75 where a method combines or learns or hidden states are compared, else 0",
    )
    patience: int | None = _setting(
        None, "Stop after this many epochs without a lower validation loss.", shown="never"
    )
    distillation_weight: float = _setting(0.5, "The teacher's share of the loss.", common=False)
    temperature: float = _setting(2.0, "The temperature of the distillation.", common=False)
    hidden_distillation: float = _setting(
        0.0, "How much the distance to the teacher's last hidden states weighs.", common=False
    )
    random_lengths: int = _setting(
        2, "How many random configurations a step trains of a method for all budgets.", common=False
    )
    gradient_checkpointing: bool = _setting(
        False, "Save memory by computing each block twice.", common=False
    )
    mixed_precision: bool = _setting(
        True, "Compute in bfloat16 where the device has it.", common=False
    )
    save_minutes: float = _setting(
        10.0, "Save a checkpoint also after about this many minutes.", common=False
    )
    report_to: tuple[str, ...] = _setting(
        (),
        "The reporting tools of transformers' Trainer to use, with commas between.",
        common=False,
    )
    extra: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "Any other of transformers' TrainingArguments, as extra.NAME=VALUE.",
            "common": False,
        },
    )

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs > 0,
            "learning_rate": self.learning_rate is None or self.learning_rate > 0,
            "batch_tokens": self.batch_tokens >= 16,
            "warmup": 0 <= self.warmup < 1,
            "attention_dropout": self.attention_dropout is None or 0 <= self.attention_dropout < 1,
            "dense_share": self.dense_share is None or 0 <= self.dense_share < 1,
            "distillation_weight": 0 <= self.distillation_weight <= 1,
            "temperature": self.temperature > 0,
            "hidden_distillation": self.hidden_distillation >= 0,
            "random_lengths": self.random_lengths >= 0,
            "patience": self.patience is None or self.patience >= 1,
        }
        for name, good in checks.items():
            if not good:
                raise TrainingError(f"{name} is out of range, got {getattr(self, name)}")

    def for_plan(self, plan: Plan) -> TrainingSettings:
        """The settings with the share of dense steps that suits a plan, where none is given."""
        if self.dense_share is not None:
            return self
        new = plan.is_new_to_learn or self.hidden_distillation > 0
        return replace(self, dense_share=0.75 if new else 0.0)

    def dense_stage(self, width: int) -> TrainingSettings:
        """The settings of the dense steps, in which the learning rate falls part of its way."""
        if "lr_scheduler_type" in self.extra:
            return replace(self, epochs=self.epochs * self.dense_share, hidden_distillation=0.0)
        line = {
            "lr_scheduler_type": "polynomial",
            "lr_scheduler_kwargs": {"lr_end": self._rate_left(width), "power": 1.0},
        }
        return replace(
            self,
            epochs=self.epochs * self.dense_share,
            warmup=min(0.5, self.warmup / self.dense_share),
            hidden_distillation=0.0,
            extra=line | self.extra,
        )

    def plan_stage(self, width: int) -> TrainingSettings:
        """The settings of the steps after them; another seed, for other shuffles.

        The learning rate goes on from where the dense steps left it, so that both stages are one
        schedule, and the dense one is how a dense run begins.
        """
        return replace(
            self,
            epochs=self.epochs * (1 - self.dense_share),
            learning_rate=self._rate_left(width),
            seed=self.seed + 1,
        )

    def peak_rate(self, width: int) -> float:
        """The learning rate after the warm-up, for an encoder of this hidden size."""
        return self.learning_rate or 5e-5 * 768 / width

    def _rate_left(self, width: int) -> float:
        """The rate when the plan is due, on a line from the peak after the warm-up to zero."""
        risen = min(self.warmup, 0.5 * self.dense_share)
        return self.peak_rate(width) * (1 - self.dense_share) / (1 - risen)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The settings' names."""
        return tuple(item.name for item in fields(cls))

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON writes them."""
        return asdict(self)

    def arguments(self, checkpoints: Path, width: int, *, device: str, validate: bool) -> Any:
        """The Trainer's arguments.

        Args:
            checkpoints: the folder for checkpoints.
            width: the encoder's hidden size.
            device: where the model is: `"cpu"` or a CUDA device, such as `"cuda:1"`.
            validate: whether there is a validation set: then the best checkpoint is kept.
        """
        require("accelerate", "train")
        import torch

        from tersely.training.arguments import OneDeviceArguments

        half = self.mixed_precision and device != "cpu" and torch.cuda.is_bf16_supported()
        options = {
            "output_dir": str(checkpoints),
            "num_train_epochs": self.epochs,
            "learning_rate": self.peak_rate(width),
            "warmup_steps": self.warmup,
            "weight_decay": self.weight_decay,
            "lr_scheduler_type": "linear",
            "seed": self.seed,
            "data_seed": self.seed,
            "bf16": half,
            "use_cpu": device == "cpu",
            "model_device": device,
            "eval_strategy": "epoch" if validate else "no",
            "save_strategy": "epoch",
            "save_total_limit": 2,
            "load_best_model_at_end": validate,
            "metric_for_best_model": "eval_loss" if validate else None,
            "greater_is_better": False if validate else None,
            "logging_steps": 10,
            "report_to": list(self.report_to) or "none",
            "remove_unused_columns": False,
            "dataloader_pin_memory": device != "cpu",
            "per_device_train_batch_size": 1,
            "per_device_eval_batch_size": 1,
            # Or patience would begin to count anew.
            "restore_callback_states_from_checkpoint": True,
        }
        if self.gradient_checkpointing:
            # transformers renamed it; only the newer versions know the newer name.
            known = {item.name for item in fields(OneDeviceArguments)}
            newer = "activation_checkpointing"
            options[newer if newer in known else "gradient_checkpointing"] = True
        return OneDeviceArguments(**(options | self.extra))
