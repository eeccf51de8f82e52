"""One training run, from documents to a trained model: resumable, and leaving a record.

While it runs, the output folder holds `checkpoints/`; `--resume` goes on from the newest one, if
the run is the same (its fingerprint is kept). They stay until the trained model is saved, so that a
disk that fills up at the end costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import SAFE_WEIGHTS_NAME

from tersely.errors import OutputError, TrainingError
from tersely.modeling import TerselyForSequenceClassification
from tersely.training.distillation import check_hidden_teacher
from tersely.training.progress import set_progress
from tersely.training.settings import TrainingSettings
from tersely.training.trainer import TerselyTrainer, TrainingDocuments

__all__ = ["remove_checkpoints", "train_model"]

logger = logging.getLogger(__name__)

# Marks a folder of checkpoints as ours, and says of which run.
_MARKER = "run.json"


def train_model(
    model: TerselyForSequenceClassification,
    train: TrainingDocuments,
    validation: TrainingDocuments | None,
    settings: TrainingSettings,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: bool = True,
    callbacks: list[Any] | None = None,
    teacher: TerselyForSequenceClassification | None = None,
) -> dict[str, Any]:
    """Train a model in place; the best checkpoint by validation loss is what it ends with.

    Args:
        model: the model, on the device to train on.
        train: what to train on.
        validation: what to choose the best checkpoint by; None keeps the last.
        settings: the settings of the run.
        checkpoints: the folder for checkpoints; None for a temporary one.
        resume: go on from the newest of the checkpoints.
        progress: whether to draw progress bars on standard error.
        callbacks: further callbacks of the Trainer.
        teacher: a dense model for `hidden_distillation`, on the same device.

    Returns:
        The record: settings, steps, seconds, documents and tokens, the history of the losses.

    Raises:
        TrainingError: if the loss is not a number, or the folder holds another run's checkpoints.
    """
    if settings.hidden_distillation > 0:
        if teacher is None:
            raise TrainingError(
                "hidden_distillation needs a teacher model that runs alongside, got none; name a "
                "teacher, or start from an encoder under a plan, so that a dense stage makes one"
            )
        check_hidden_teacher(model.config.reduction_plan(), model, teacher)
    with tempfile.TemporaryDirectory(prefix="tersely-") as temporary:
        checkpoints = checkpoints or Path(temporary) / "checkpoints"
        last = _prepare(checkpoints, _fingerprint(model, train, settings), resume)
        model.config.attention_dropout = settings.attention_dropout
        arguments = settings.arguments(
            checkpoints,
            model.backbone.width,
            device=str(model.device),
            validate=validation is not None,
        )
        arguments.disable_tqdm = not progress
        trainer = TerselyTrainer(
            model,
            settings,
            train,
            validation,
            teacher,
            args=arguments,
            callbacks=_callbacks(settings, validation, callbacks),
        )
        set_progress(trainer, progress, model.config.reduction_plan().name)
        started = time.perf_counter()
        done = None if last is None else _finished(Path(last))
        if done is None:
            trainer.train(resume_from_checkpoint=last)
        else:
            trainer.state = done
            model.load_state_dict(load_file(_chosen(done, Path(last)) / SAFE_WEIGHTS_NAME))
        seconds = time.perf_counter() - started
        model.eval()
    return {
        "settings": settings.to_dict() | {"learning_rate": arguments.learning_rate},
        "steps": trainer.state.global_step,
        "seconds": seconds,
        "resumed": last is not None,
        "documents": len(train),
        "tokens_per_epoch": train.encoded.tokens,
        "documents_per_step": trainer.documents_per_step,
        "best_validation_loss": trainer.state.best_metric,
        "history": trainer.state.log_history,
    }


def _finished(last: Path) -> TrainerState | None:
    """The state of a run whose last checkpoint is its end: the Trainer would go a step further.

    Each checkpoint says whether training was to stop there, at the last step or before it for want
    of patience: the mark is as whole as the checkpoint, whenever the run was killed.
    """
    state = TrainerState.load_from_json(str(last / TRAINER_STATE_NAME))
    control = state.stateful_callbacks.get(TrainerControl.__name__, {})
    stopped = control.get("args", {}).get("should_training_stop", False)
    return state if stopped or state.global_step >= state.max_steps else None


def _chosen(state: TrainerState, last: Path) -> Path:
    """The checkpoint that a finished run ends with: the best one, where one was looked for."""
    best = state.best_model_checkpoint
    return last if best is None else last.parent / Path(best).name


def _callbacks(
    settings: TrainingSettings, validation: TrainingDocuments | None, more: list[Any] | None
) -> list[Any]:
    callbacks = list(more or [])
    if settings.patience is not None:
        if validation is None:
            raise TrainingError("patience needs a validation set, got none")
        from transformers import EarlyStoppingCallback

        callbacks.append(EarlyStoppingCallback(settings.patience))
    return callbacks


def _fingerprint(
    model: TerselyForSequenceClassification, train: TrainingDocuments, settings: TrainingSettings
) -> str:
    """A digest of what must be the same to resume a run: encoder, data, plan, settings."""
    digest = hashlib.sha256()
    # Two checkpoints of one shape differ in their first words already.
    words = model.encoder.get_input_embeddings().weight[:256].detach().float().cpu()
    digest.update(words.numpy().tobytes())
    for window in train.encoded.windows:
        digest.update(window.tobytes())
    digest.update(np.ascontiguousarray(train.labels).tobytes())
    about = {
        "plan": model.config.plan,
        "head": model.config.head,
        "settings": settings.to_dict(),
        # Not its logits: their last digits depend on the number of threads.
        "taught": train.teacher_logits is not None,
    }
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run's stages, and their folder if it is empty then.

    Args:
        folder: holds a folder a stage; those that no run of tersely made are left alone.
    """
    for marker in folder.glob(f"*/{_MARKER}"):
        shutil.rmtree(marker.parent, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _remove_unfinished(checkpoints: Path) -> None:
    """Remove checkpoints that an interruption or a full disk cut short.

    The Trainer writes its state last, so that one without it is not whole.
    """
    for folder in checkpoints.glob("checkpoint-*"):
        if not (folder / TRAINER_STATE_NAME).is_file():
            shutil.rmtree(folder)


def _prepare(checkpoints: Path, fingerprint: str, resume: bool) -> str | None:
    """Make the folder for checkpoints, and find the one to go on from."""
    marker = checkpoints / _MARKER
    ours = marker.is_file()
    if not ours and checkpoints.is_dir() and any(checkpoints.iterdir()):
        raise OutputError(f"{checkpoints} holds files of another program; name another output")
    if ours:
        _remove_unfinished(checkpoints)
    last = get_last_checkpoint(str(checkpoints)) if ours else None
    if resume and last is not None:
        known = json.loads(marker.read_text())["fingerprint"]
        if known != fingerprint:
            raise TrainingError(
                f"{checkpoints} holds checkpoints of another run (other encoder, data, method or "
                "settings); resume with the options it began with, or start anew with --overwrite"
            )
        return last
    if ours:
        shutil.rmtree(checkpoints)
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"fingerprint": fingerprint}))
    except OSError as error:
        raise OutputError(f"{checkpoints} cannot be written: {error.strerror}") from None
    return None
