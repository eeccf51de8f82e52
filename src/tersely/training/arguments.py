"""The Trainer's arguments for a packed row: one process trains on one device, the model's own.

transformers takes every GPU that it sees, the first one for the model, and wraps the model in
`nn.DataParallel`, which splits batches along their first axis: a packed row has no such axis. What
several processes train on (torchrun) is left to transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import TrainingArguments
from transformers.training_args import ParallelMode

__all__ = ["OneDeviceArguments"]


@dataclass(repr=False)
class OneDeviceArguments(TrainingArguments):
    """`TrainingArguments` for one device.

    Attributes:
        model_device: where the model is, such as `"cuda:1"`; None for transformers' choice.
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
