"""Running a trained model over documents: packed batches, logits in the documents' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tersely.modeling import TerselyForSequenceClassification
from tersely.text.batching import fill_batches, pack
from tersely.text.encoding import EncodedDocuments


@dataclass(frozen=True)
class Forward:
    """What a pass over documents gave; counts are of all documents together."""

    logits: np.ndarray  # (documents, labels) float32, in the documents' order
    encoder_macs: int  # of the encoder's blocks
    macs: int  # of all matrix products, the head's included
    tokens_by_block: tuple[int, ...] = ()  # that went through each block's feed-forward


class TorchRunner:
    """Run a model in evaluation mode with torch; `OnnxRunner` does the same for an export."""

    def __init__(self, model: TerselyForSequenceClassification) -> None:
        self.config = model.config
        self.longest_document = model.backbone.longest_document
        self.dtype_name = str(model.dtype).removeprefix("torch.")
        self.run = partial(run_model, model)


def batches(
    encoded: EncodedDocuments, budget: int, device: torch.device
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Pack batches, the longest documents first: the documents' numbers, the model's inputs."""
    for numbers in fill_batches(encoded.sizes, budget):
        yield numbers, on_device(pack(encoded, numbers), device)


def on_device(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Put the tensors of a packed batch on a device; plain numbers stay what they are."""
    return {n: v.to(device) if isinstance(v, Tensor) else v for n, v in inputs.items()}


@torch.inference_mode()
def run_model(
    model: TerselyForSequenceClassification,
    encoded: EncodedDocuments,
    budget: int,
    progress: Callable[[int], None] | None = None,
) -> Forward:
    """Run a model in evaluation mode over documents, in batches of `budget` tokens.

    `progress` is called with the number of documents done after each batch.
    """
    logits = np.zeros((len(encoded), model.num_labels), dtype=np.float32)
    encoder = everything = 0
    alive: list[int] = []
    for numbers, inputs in batches(encoded, budget, model.device):
        output = model(**inputs, output_trace="sizes")
        logits[numbers] = output.logits.float().cpu().numpy()
        encoder += output.trace.encoder_macs
        everything += output.trace.macs
        blocks = [sum(block) for block in output.trace.tokens_alive()]
        alive = [a + b for a, b in zip(alive or [0] * len(blocks), blocks, strict=True)]
        if progress is not None:
            progress(len(numbers))
    return Forward(logits, encoder, everything, tuple(alive))
