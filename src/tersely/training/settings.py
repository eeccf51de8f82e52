"""The settings of a training run: what they are, what is in range, and how stages divide them.

The command line makes its options of them, so that this file needs no torch. What is None follows
from the documents: `tersely.training.recipe`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

from tersely.errors import TrainingError, warn

if TYPE_CHECKING:
    from tersely.reduction import Plan

CLASS_WEIGHTS = ("none", "sqrt", "balanced")
BEST_BY = ("loss", "accuracy", "macro_f1")


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    """A field with metadata for those who make options of the settings.

    `common` says whether many need it, `shown` stands for the default.
    """
    return field(default=default, metadata={"help": text} | metadata)


def _rare(default: Any, text: str, **metadata: Any) -> Any:
    """A field that few need."""
    return _setting(default, text, common=False, **metadata)


def _by_recipe(text: str, common: bool = False) -> Any:
    """A field that follows from the documents where it is not given."""
    return _setting(None, text, common=common, shown="chosen from the documents")


_MORE = "Any other of transformers' TrainingArguments, such as report_to=tensorboard; repeatable."
_EXTRA = {"help": _MORE, "common": False}


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; each field's metadata say what it is, and the command line says the same."""

    epochs: float | None = _by_recipe(
        "Passes over the training documents; 0 leaves a dense model unchanged.", True
    )
    learning_rate: float | None = _by_recipe("The peak learning rate.", True)
    batch_documents: int | None = _by_recipe("Documents per optimiser step, on average.", True)
    batch_tokens: int = _setting(4096, "Maximum tokens per optimiser step.")
    head_factor: float | None = _by_recipe("The head's learning rate, relative to the encoder's.")
    layer_decay: float | None = _by_recipe("Each block's learning rate, relative to the next.")
    dropout: float | None = _by_recipe("The dropout probability of hidden units.")
    class_weights: str | None = _by_recipe(
        "Weights of the classes: none, sqrt (of the inverse frequency), balanced, or numbers such "
        "as spam=3,news=1; classes that are not named get 1."
    )
    label_smoothing: float = _rare(0.0, "The share of each label that is spread over all classes.")
    best_by: str = _rare(
        "loss", "The validation metric that selects the best epoch: loss, accuracy or macro_f1."
    )
    warmup: float = _rare(0.1, "The share of the steps in which the learning rate rises.")
    weight_decay: float = _rare(0.01, "The weight decay of AdamW.")
    # 0, since fused kernels cannot do it on a GPU, and it doubles a step on a CPU: `TerselyConfig`.
    attention_dropout: float | None = _rare(0.0, "The dropout probability of attention weights.")
    seed: int = _setting(0, "The seed for shuffling, new weights and dropout.")
    # The dense model then teaches what it becomes: `topk` came from 59.1 % to 54.2 with 0.75 on the
    # demo's documents (dense: 60.5; 2026-11-22), `focus-pfc` from 84.0 to 93.5 on 1,200 of R8
    # (dense: 95.8; docs/results.md). A model that was fine-tuned already starts with the plan.
    dense_share: float | None = _rare(
        None,
        "The share of the steps that train dense before the method is switched on.",
        shown="0.75 if a method combines or learns, else 0",
    )
    tune: int | None = _setting(
        None, "Settings to try for what is not given; keeps the best, by best_by.", shown="1"
    )
    patience: int | None = _setting(
        None, "Stop after this many epochs without improvement, by best_by.", shown="never"
    )
    distillation_weight: float = _rare(0.5, "The teacher's share of the loss.")
    temperature: float = _rare(2.0, "The temperature of the distillation.")
    # Besides the full and the smallest one (`lat`); the paper's 2.
    random_lengths: int = _rare(
        2, "Random configurations per step, for methods trained for all budgets."
    )
    gradient_checkpointing: bool = _rare(False, "Save memory by recomputing each block.")
    mixed_precision: bool = _rare(True, "Compute in bfloat16 if the device supports it.")
    save_minutes: float = _rare(10.0, "Save a checkpoint about every so many minutes, too.")
    extra: dict[str, Any] = field(default_factory=dict, metadata=_EXTRA)

    def __post_init__(self) -> None:
        positive = "learning_rate head_factor temperature"
        shares = "dropout warmup attention_dropout dense_share label_smoothing"
        checks: dict[str, tuple[Callable[[Any], bool], str]] = {
            "finite and above 0": (lambda value: 0 < value < inf, positive),
            "finite and at least 0": (lambda value: 0 <= value < inf, "epochs random_lengths"),
            "at least 0 and below 1": (lambda value: 0 <= value < 1, shares),
            "from 0 to 1": (lambda value: 0 <= value <= 1, "distillation_weight"),
            "above 0 and at most 1": (lambda value: 0 < value <= 1, "layer_decay"),
            "at least 1": (lambda value: value >= 1, "batch_documents patience tune"),
            "at least 16": (lambda value: value >= 16, "batch_tokens"),
            f"one of {', '.join(CLASS_WEIGHTS)}, or name=number for each class": (
                lambda value: value in CLASS_WEIGHTS or "=" in value,
                "class_weights",
            ),
            f"one of {', '.join(BEST_BY)}": (BEST_BY.__contains__, "best_by"),
        }
        for expected, (good, names) in checks.items():
            for name in names.split():
                if (value := getattr(self, name)) is not None and not good(value):
                    raise TrainingError(f"{name} is out of range: expected {expected}, got {value}")
        if (rate := self.learning_rate) is not None and not 1e-7 <= rate <= 0.01:
            # Without the number, so that copies for a run's stages, of other rates, say the same.
            told = f"{'above 0.01' if rate > 0.01 else 'below 1e-7'}; the model may learn nothing"
            warn(f"learning_rate is usually 1e-5 to 5e-4 in fine-tuning, got {told}", stacklevel=1)
        if "label_smoothing_factor" in self.extra:  # this Trainer makes the loss by itself
            raise TrainingError("label_smoothing_factor is not used here; set label_smoothing")

    def for_plan(self, plan: Plan) -> TrainingSettings:
        """Return the settings with the dense share that suits a plan, where none is given."""
        if self.dense_share is not None:
            return self
        return replace(self, dense_share=0.75 if plan.is_new_to_learn else 0.0)

    def dense_stage(self) -> TrainingSettings:
        """Return the settings of the dense steps: the learning rate falls part of its way."""
        own = replace(self, epochs=self.epochs * self.dense_share)
        if "lr_scheduler_type" in self.extra:
            return own
        kwargs = {"lr_end": self._rate_left(), "power": 1.0}
        line = {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": kwargs}
        warmup = min(0.5, self.warmup / self.dense_share)
        return replace(own, warmup=warmup, extra=line | self.extra)

    def plan_stage(self) -> TrainingSettings:
        """Return the settings of the steps after them; another seed, for other shuffles.

        The learning rate goes on from where the dense steps left it, so that both stages are one
        schedule, and the dense one is how a dense run begins.
        """
        epochs = self.epochs * (1 - self.dense_share)
        return replace(self, epochs=epochs, learning_rate=self._rate_left(), seed=self.seed + 1)

    def _rate_left(self) -> float:
        """The rate when the plan is due, on a line from the peak after the warm-up to zero."""
        risen = min(self.warmup, 0.5 * self.dense_share)
        return self.learning_rate * (1 - self.dense_share) / (1 - risen)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON writes them."""
        return asdict(self)
