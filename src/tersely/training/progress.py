"""The Trainer's progress bar, on standard error alone.

transformers' own callbacks print their logs to standard output, which command lines keep for data.
"""

from __future__ import annotations

import sys
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

__all__ = ["TrainingProgress", "set_progress"]


class TrainingProgress(ProgressCallback):
    """A bar with the training loss, and above it a line for each validation.

    Args:
        stage: what is trained, in front of the bar.
    """

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw the bar with the stage in front of it."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description(self.stage)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Show a loss where the bar is, or leave a line behind."""
        if self.training_bar is None or not logs:
            return
        if "eval_loss" in logs:
            self.training_bar.write(
                f"epoch {logs.get('epoch', state.epoch):.4g}: "
                f"validation loss {logs['eval_loss']:.4f}",
                file=sys.stderr,
            )
        elif "loss" in logs:
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.4f}")


def set_progress(trainer: Trainer, progress: bool, stage: str) -> None:
    """Replace the Trainer's own callbacks for logs by a bar on standard error, or by nothing."""
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if progress:
        bar: TrainerCallback = TrainingProgress(stage)
        trainer.add_callback(bar)
