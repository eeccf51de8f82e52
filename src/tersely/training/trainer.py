"""transformers' Trainer on packed batches.

Batches are filled to a token budget and so hold varying numbers of documents, hence the loss is
scaled by a constant, the mean number of documents a step, and a document counts the same in every
batch. A loss that is not a number ends the run with an error, and progress is told to whoever asks,
since transformers' own callbacks print where command lines keep data.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainerControl
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from tersely.errors import TrainingError
from tersely.modeling import TerselyForSequenceClassification
from tersely.reduction import Learned
from tersely.text.batching import TokenBudgetSampler, fill_batches, pack
from tersely.text.encoding import EncodedDocuments
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.metrics import evaluate_logits
from tersely.training.distillation import distillation_loss, draw_plans, shorter_loss
from tersely.training.settings import TrainingSettings


@dataclass
class TrainingDocuments(Dataset):
    """Encoded documents with what is learned from.

    Labels are `(documents,)` class numbers or floats, or `(documents, labels)` multi-hot; a
    teacher's logits `(documents, labels)`; `weights` `(documents,)` of their labels in the loss;
    `token_targets`, which modules of a plan learn from, `(tokens,)` for each window; so are
    `piece_scores`, by which it chooses before the first block.
    """

    encoded: EncodedDocuments
    labels: np.ndarray
    teacher_logits: np.ndarray | None = None
    weights: np.ndarray | None = None
    token_targets: list[np.ndarray] | None = None
    piece_scores: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, number: int) -> int:
        return number

    def collate(self, numbers: list[int]) -> dict[str, Tensor]:
        """Pack documents; the labels come first, since the Trainer counts a batch by them."""
        inputs = {"labels": torch.from_numpy(self.labels[numbers])}
        if self.teacher_logits is not None:
            inputs["teacher_logits"] = torch.from_numpy(self.teacher_logits[numbers])
        if self.weights is not None:
            inputs["document_weights"] = torch.from_numpy(self.weights[numbers])
        starts, counts = self.encoded.starts, self.encoded.counts
        picked = [starts[number] + i for number in numbers for i in range(counts[number])]
        for name in ("token_targets", "piece_scores"):
            if (values := getattr(self, name)) is not None:
                row = np.concatenate([values[window] for window in picked])
                inputs[name] = torch.from_numpy(row)[None]
        return inputs | pack(self.encoded, numbers)


def document_losses(
    logits: Tensor, labels: Tensor, problem: str | None, smoothing: float = 0.0
) -> Tensor:
    """Return the loss of each document, `(documents,)`, whose mean is the model's own.

    `smoothing` is the share of chance in a label; of several labels each one's chance is a half.
    """
    if problem == MULTI_LABEL:
        wanted = labels.float() * (1 - smoothing) + smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return each.mean(dim=1)
    if problem == REGRESSION:
        return (logits[:, 0] - labels).square()
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


class TerselyTrainer(Trainer):
    """The Trainer on packed batches."""

    def __init__(
        self,
        model: TerselyForSequenceClassification,
        settings: TrainingSettings,
        train_documents: TrainingDocuments,
        validation: TrainingDocuments | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        **options: Any,
    ) -> None:
        self.settings = settings
        sizes = train_documents.encoded.sizes
        budget = min(settings.batch_tokens, math.ceil(settings.batch_documents * sizes.mean()))
        epochs = math.ceil(settings.epochs)
        self.sampler = TokenBudgetSampler(sizes, budget, settings.seed, epochs=epochs)
        self.documents_per_step = len(train_documents) / len(self.sampler)
        plan, how = model.config.reduction_plan(), (settings.random_lengths, settings.seed)
        self.plans_at = partial(draw_plans, plan, model.plan.depth, *how)
        given = {"train_dataset": train_documents, "eval_dataset": validation}
        super().__init__(model=model, compute_metrics=self._evaluated, **given, **options)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        if progress is not None:
            self.add_callback(_Progress(f"training {plan.name}", progress))
        self.add_callback(_SaveByClock(settings.save_minutes))

    def get_train_dataloader(self) -> DataLoader:
        """Return shuffled packed batches, filled to the token budget."""
        documents = self.train_dataset
        loader = DataLoader(documents, batch_sampler=self.sampler, collate_fn=documents.collate)
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the Trainer's optimiser, with learning rates of their own for some modules.

        The lower a block, the smaller its rate (`layer_decay`); the head, which is new, and what
        plans learn have theirs.
        """
        optimizer = super().create_optimizer(model)
        own = self._own_rates(self.model if model is None else model)
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                factor, rate = own.get(parameter, (1.0, None))
                key = (rate or group["lr"] * factor, 0.0 if rate else group["weight_decay"])
                groups.setdefault(key, []).append(parameter)
        optimizer.param_groups.clear()
        for (rate, decay), parameters in groups.items():
            optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": decay})
        return optimizer

    def _own_rates(
        self, model: torch.nn.Module
    ) -> dict[torch.nn.Parameter, tuple[float, float | None]]:
        """Return what to multiply the learning rate of a parameter by, and what stands for it."""
        ours, decay = self.model, self.settings.layer_decay
        blocks = ours.backbone.blocks
        found: dict[torch.nn.Parameter, tuple[float, float | None]] = {}
        for below, block in enumerate(reversed(blocks)):
            found |= dict.fromkeys(block.parameters(), (decay**below, None))
        for parameter in ours.encoder.parameters():
            found.setdefault(parameter, (decay ** len(blocks), None))
        found |= dict.fromkeys(ours.head.parameters(), (self.settings.head_factor, None))
        for module in model.modules():
            if isinstance(module, Learned) and module.learning_rate is not None:
                found |= dict.fromkeys(module.parameters(), (1.0, module.learning_rate))
        return found

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the Trainer's schedule; where there is one step, it is not spent on warming up."""
        if num_training_steps < 2:
            self.args.warmup_steps = 0
        return super().create_scheduler(num_training_steps, optimizer)

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """Return packed batches, the longest documents first."""
        documents = self.eval_dataset if eval_dataset is None else eval_dataset
        batches = fill_batches(documents.encoded.sizes, self.settings.batch_tokens)
        loader = DataLoader(documents, batch_sampler=batches, collate_fn=documents.collate)
        return self.accelerator.prepare(loader)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        """Return the documents' summed loss over the mean number of documents a step."""
        training, step = model.training, self.state.global_step
        teacher = inputs.pop("teacher_logits", None)
        weights = inputs.pop("document_weights", None)
        plans = self.plans_at(step) if training else ()
        # All configurations in one call of the model that was given: a wrapper around it, such as
        # that of torchrun, sees one forward pass and one backward pass a step.
        outputs = model(**inputs, plans=plans)
        loss, penalty = outputs.loss, outputs.penalty
        if not training:
            return (loss, outputs) if return_outputs else loss
        problem = self.model.config.problem_type
        if penalty is not None:
            loss = loss - penalty
        if weights is not None or self.settings.label_smoothing:
            share = self.settings.label_smoothing
            each = document_losses(outputs.logits, inputs["labels"], problem, share)
            loss = (each if weights is None else each * weights).mean()
        if teacher is not None:
            weight, temperature = self.settings.distillation_weight, self.settings.temperature
            distance = distillation_loss(outputs.logits, teacher, problem, temperature)
            loss = (1 - weight) * loss + weight * distance
        if plans:
            shorter = shorter_loss(outputs.logits, outputs.shorter_logits, problem)
            loss = (loss + shorter) / len(plans)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} at step {step + 1}; lower the learning rate, or "
                "look for labels out of range"
            )
        loss = loss * (len(outputs.logits) / self.documents_per_step)
        if penalty is not None:
            # On what a batch takes, which no teacher knows of, and which no document adds to.
            loss = loss + penalty
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, logits and labels of a batch: of all outputs, what metrics are made of."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        return loss.detach(), outputs.logits.detach(), inputs["labels"]

    def _evaluated(self, prediction: EvalPrediction) -> dict[str, float]:
        problem = self.model.config.problem_type
        return evaluate_logits(prediction.predictions, prediction.label_ids, problem)


class _SaveByClock(TrainerCallback):
    """Saves a checkpoint when the last one is some minutes old, so that a kill costs no more."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.last = minutes * 60, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a save when it is time."""
        if time.monotonic() - self.last > self.seconds:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> None:
        """Start the clock again."""
        self.last = time.monotonic()


class _Progress(TrainerCallback):
    """Tells what is trained with its last losses, and how many steps of how many are done."""

    def __init__(self, stage: str, tell: Callable[[str, int, int], None]) -> None:
        self.stage, self.tell = stage, tell
        self.losses: dict[str, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell how far it is."""
        losses = (f"{name} {value:.4f}" for name, value in self.losses.items())
        self.tell(", ".join([self.stage, *losses]), state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep the losses for the next step."""
        names = {"loss": "loss", "eval_loss": "validation loss"}
        self.losses |= {names[key]: float(logs[key]) for key in names if key in (logs or {})}
