"""One training run, from documents to a trained model: resumable, and leaving a record.

While it runs, a folder holds its checkpoints; a run that was killed goes on from the newest one, if
it is the same run. They stay until the trained model is saved, so that a disk that fills up at the
end costs nothing.

    checkpoints/plan/run.json          which run this is: `_fingerprint`, some of a teacher's logits
    checkpoints/plan/checkpoint-120/   the Trainer's own; its `trainer_state.json` is written last
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint
from transformers.training_args import ParallelMode
from transformers.utils import SAFE_WEIGHTS_NAME

from tersely._io import Progress, locked
from tersely.errors import OutputError, TerselyError, TrainingError, name_all, require
from tersely.modeling import TerselyForSequenceClassification
from tersely.modeling.budget import spread
from tersely.training.recipe import VERSION, document_weights, with_recipe
from tersely.training.settings import TrainingSettings
from tersely.training.trainer import TerselyTrainer, TrainingDocuments

# Marks a folder of checkpoints as ours, and says of which run.
_MARKER, _LOCK = "run.json", "_lock"
# Documents whose logits tell one teacher from another.
_TOLD_BY = 16


def train_model(
    model: TerselyForSequenceClassification,
    train: TrainingDocuments,
    validation: TrainingDocuments | None,
    settings: TrainingSettings,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: Progress = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Train a model in place; the best checkpoint by the validation is what it ends with.

    Weights are trained in float32, whatever a checkpoint stored them in: in half precision, small
    steps are lost, and a CPU is several times slower. Without validation documents the last
    checkpoint is kept.

    Returns:
        The record: settings, steps, seconds, documents and tokens, the history of the losses.

    Raises:
        TrainingError: if the loss is not a number, or the folder holds another run's checkpoints.
    """
    model.float()
    settings = with_recipe(settings, train.labels, model.backbone.width)
    if settings.class_weights != "none":
        names = [model.config.id2label[number] for number in range(model.num_labels)]
        weights = document_weights(train.labels, names, settings.class_weights)
        weights = weights if train.weights is None else weights * train.weights
        train = replace(train, weights=weights / weights.mean())
    _check_settings(settings, model, validation)
    with tempfile.TemporaryDirectory(prefix="tersely-") as temporary:
        checkpoints = checkpoints or Path(temporary) / "checkpoints"
        last = _prepare(checkpoints, _identity(model, train, settings), resume)
        model.config.attention_dropout = settings.attention_dropout
        _set_dropout(model, settings.dropout)
        with _extra_is_blamed(settings.extra):
            arguments = trainer_arguments(
                settings, checkpoints, device=str(model.device), validate=validation is not None
            )
            arguments.disable_tqdm = True
            trainer = TerselyTrainer(model, settings, train, validation, progress, args=arguments)
        for callback in callbacks:
            trainer.add_callback(callback)
        if settings.patience is not None:
            trainer.add_callback(EarlyStoppingCallback(settings.patience))
        started = time.perf_counter()
        done = None if last is None else _finished(Path(last))
        if done is None:
            trainer.train(resume_from_checkpoint=last)
        else:
            trainer.state, best = done, done.best_model_checkpoint
            chosen = last if best is None else checkpoints / Path(best).name
            model.load_state_dict(load_file(Path(chosen, SAFE_WEIGHTS_NAME)))
            for callback in callbacks:  # what it heard before the kill
                callback.on_evaluate(arguments, done, trainer.control)
        seconds = time.perf_counter() - started
        model.eval()
    history = trainer.state.log_history
    losses = {log["step"]: log["eval_loss"] for log in history if "eval_loss" in log}
    record = {"settings": settings.to_dict(), "steps": trainer.state.global_step}
    record |= {"seconds": seconds, "resumed": last is not None, "documents": len(train)}
    record |= {"tokens_per_epoch": train.encoded.tokens, "recipe": VERSION, "history": history}
    record["documents_per_step"] = trainer.documents_per_step
    return record | {"best_validation_loss": losses.get(trainer.state.best_global_step)}


def _check_settings(
    settings: TrainingSettings,
    model: TerselyForSequenceClassification,
    validation: TrainingDocuments | None,
) -> None:
    """Refuse what this model, or what there is to train it with, does not allow."""
    if model.config.problem_type == "regression":
        for name, right in (("best_by", "loss"), ("label_smoothing", 0)):
            if getattr(settings, name) != right:
                got = getattr(settings, name)
                raise TrainingError(f"{name} must be {right} for a regression, got {got}")
    if settings.patience is not None and validation is None:
        raise TrainingError("patience needs a validation set, got none")


@contextlib.contextmanager
def _extra_is_blamed(extra: dict[str, Any]) -> Iterator[None]:
    """Raise what transformers thinks of arguments that a user gave it as a `TrainingError`."""
    try:
        yield
    except (TypeError, ValueError, ImportError, RuntimeError) as error:
        if not extra or isinstance(error, TerselyError):
            raise
        raise TrainingError(
            f"transformers does not take the extra arguments {name_all(extra)}: "
            f"{str(error).strip().splitlines()[0]}; correct them, or leave them out"
        ) from error


def _set_dropout(model: TerselyForSequenceClassification, share: float) -> None:
    """Set the dropout of hidden states; that of attention weights is a setting of its own."""
    backbone = model.backbone
    queries = {
        id(backbone.projections(block)[0])
        for block in backbone.blocks
        if not isinstance(block, torch.nn.Identity)
    }
    for owner in (*model.encoder.modules(), *model.head.modules()):
        # Attention weights are dropped where the queries are made.
        if not any(id(part) in queries for part in owner.children()):
            for part in owner.children():
                if isinstance(part, torch.nn.Dropout):
                    part.p = share


@dataclass(repr=False)
class OneDeviceArguments(TrainingArguments):
    """`TrainingArguments` for a packed row: one process trains on one device, the model's own.

    transformers takes every GPU that it sees, the first one for the model, and wraps the model in
    `nn.DataParallel`, which splits batches along their first axis: a packed row has no such axis.
    What several processes train on (torchrun) is left to transformers.
    """

    model_device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # transformers has just made the first GPU the current one, and accelerate moves batches to
        # whichever is current.
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    @property
    def device(self) -> torch.device:
        """The model's own device."""
        chosen = super().device
        alone = self.parallel_mode is not ParallelMode.DISTRIBUTED
        return torch.device(self.model_device) if self.model_device and alone else chosen

    @property
    def n_gpu(self) -> int:
        """At most one GPU, so that the model is never split over several."""
        return min(1, super().n_gpu)


def trainer_arguments(
    settings: TrainingSettings, checkpoints: Path, *, device: str, validate: bool
) -> OneDeviceArguments:
    """Spell settings as transformers' Trainer wants them.

    The device is the model's; where there is a validation set, the best checkpoint is kept.
    """
    require("accelerate", "train")
    on_gpu = device != "cpu"
    half = settings.mixed_precision and on_gpu and torch.cuda.is_bf16_supported()
    options = {"output_dir": str(checkpoints), "use_cpu": not on_gpu, "model_device": device}
    options |= {"num_train_epochs": settings.epochs, "learning_rate": settings.learning_rate}
    options |= {"warmup_steps": settings.warmup, "weight_decay": settings.weight_decay}
    options |= {"lr_scheduler_type": "linear", "seed": settings.seed, "data_seed": settings.seed}
    options |= {"eval_strategy": "epoch" if validate else "no", "load_best_model_at_end": validate}
    if validate:
        options["metric_for_best_model"] = f"eval_{settings.best_by}"
        options["greater_is_better"] = settings.best_by != "loss"
    options |= {"save_strategy": "epoch", "save_total_limit": 2, "logging_steps": 10}
    options |= {"bf16": half, "dataloader_pin_memory": on_gpu, "remove_unused_columns": False}
    options |= dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size"), 1)
    # Or patience would begin to count anew.
    options |= {"restore_callback_states_from_checkpoint": True, "report_to": "none"}
    if settings.gradient_checkpointing:
        # transformers renamed it; only the newer versions know the newer name.
        known = {item.name for item in fields(OneDeviceArguments)}
        newer = "activation_checkpointing"
        options[newer if newer in known else "gradient_checkpointing"] = True
    return OneDeviceArguments(**(options | settings.extra))


@contextlib.contextmanager
def claimed(checkpoints: Path | None) -> Iterator[None]:
    """Make a folder of checkpoints this process's own while the block runs; None is nobody's.

    A run that ends before its first checkpoint leaves nothing in it.
    """
    if checkpoints is None:
        yield
        return
    where, is_new = checkpoints.parent, not checkpoints.exists()
    busy = OutputError(f"another process trains into {where}; wait for it, or name another output")
    with locked(checkpoints, _LOCK, busy):
        try:
            yield
        finally:
            (checkpoints / _LOCK).unlink(missing_ok=True)
            for marker in [*checkpoints.rglob(_MARKER)]:
                if not any(marker.parent.rglob(TRAINER_STATE_NAME)):
                    shutil.rmtree(marker.parent, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):  # there are checkpoints
                    checkpoints.rmdir()


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run's stages, and their folder if nothing else is in it."""
    for marker in folder.glob(f"*/{_MARKER}"):
        shutil.rmtree(marker.parent, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _prepare(checkpoints: Path, identity: dict[str, Any], resume: bool) -> str | None:
    """Make the folder for checkpoints, and find the one to go on from."""
    marker = checkpoints / _MARKER
    ours = marker.is_file()
    if not ours and checkpoints.is_dir() and any(checkpoints.iterdir()):
        raise OutputError(f"{checkpoints} holds files of another program; name another output")
    for folder in checkpoints.glob("checkpoint-*") if ours else ():
        # The Trainer writes its state last: what lacks it was cut short by a kill or a full disk.
        if not (folder / TRAINER_STATE_NAME).is_file():
            shutil.rmtree(folder)
    last = get_last_checkpoint(str(checkpoints)) if ours else None
    if resume and last is not None:
        if not _is_same(json.loads(marker.read_text()), identity):
            raise TrainingError(
                f"{checkpoints} holds checkpoints of another run (other encoder, teacher, data, "
                "method or settings); resume with the original ones, or start over"
            )
        return last
    if ours:
        shutil.rmtree(checkpoints)
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(identity))
    except OSError as error:
        raise OutputError(f"{checkpoints} cannot be written: {error.strerror}") from None
    return None


def _identity(
    model: TerselyForSequenceClassification,
    train: TrainingDocuments,
    settings: TrainingSettings,
) -> dict[str, Any]:
    """What must be the same to resume a run: encoder, teacher, data, plan, settings.

    Of a teacher's logits it holds some: their last digits depend on the number of threads.
    """
    digest = hashlib.sha256()
    for name, tensor in model.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    for window in train.encoded.windows:
        digest.update(window.tobytes())
    for array in (train.labels, train.weights):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    config = model.config
    about = {"plan": config.plan, "head": config.head, "settings": settings.to_dict()}
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    logits = train.teacher_logits
    told = None if logits is None else logits[spread(len(train), _TOLD_BY)].astype(float).tolist()
    return {"fingerprint": digest.hexdigest(), "teacher_logits": told}


def _is_same(known: dict[str, Any], identity: dict[str, Any]) -> bool:
    before, now = known.get("teacher_logits"), identity["teacher_logits"]
    if known["fingerprint"] != identity["fingerprint"] or (before is None) != (now is None):
        return False
    return now is None or np.allclose(before, now, rtol=1e-3, atol=1e-3)


def _finished(last: Path) -> TrainerState | None:
    """The state of a run whose last checkpoint is its end: the Trainer would go a step further.

    Each checkpoint says whether training was to stop there, at the last step or before it for want
    of patience: the mark is as whole as the checkpoint, whenever the run was killed.
    """
    state = TrainerState.load_from_json(str(last / TRAINER_STATE_NAME))
    control = state.stateful_callbacks.get(TrainerControl.__name__, {})
    stopped = control.get("args", {}).get("should_training_stop", False)
    return state if stopped or state.global_step >= state.max_steps else None
