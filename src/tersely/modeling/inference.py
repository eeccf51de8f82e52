"""Running a trained model over documents: packed batches, logits in the documents' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tersely.modeling import TerselyConfig, TerselyForSequenceClassification, Trace
from tersely.text.batching import fill_batches, pack
from tersely.text.encoding import EncodedDocuments

__all__ = ["Forward", "Runner", "TorchRunner", "batches", "on_device", "run_model"]


@dataclass(frozen=True)
class Forward:
    """What a pass over documents gave.

    Attributes:
        logits: `(documents, labels)` float32, in the documents' order.
        encoder_macs: of the encoder's blocks, all documents together.
        macs: of all matrix products, the head's included.
        tokens_by_block: tokens that went through each block's feed-forward, all documents together.
    """

    logits: np.ndarray
    encoder_macs: int
    macs: int
    tokens_by_block: tuple[int, ...] = ()


class Runner(Protocol):
    """What a classifier asks of what runs its model.

    Attributes:
        config: the model's configuration.
        longest_document: most tokens of a document or window; None for no limit.
        dtype_name: the type of the weights, such as `"float32"`.
    """

    config: TerselyConfig
    longest_document: int | None
    dtype_name: str

    def run(
        self,
        encoded: EncodedDocuments,
        budget: int,
        progress: Callable[[int], None] | None = None,
    ) -> Forward:
        """Logits in the documents' order, and what they cost; see `run_model`."""
        ...


class TorchRunner:
    """Runs a model with torch, on packed batches.

    Args:
        model: the model, in evaluation mode.
    """

    def __init__(self, model: TerselyForSequenceClassification) -> None:
        self._model = model
        self.config: TerselyConfig = model.config
        self.longest_document = model.backbone.longest_document
        self.dtype_name = str(model.dtype).removeprefix("torch.")

    def run(
        self,
        encoded: EncodedDocuments,
        budget: int,
        progress: Callable[[int], None] | None = None,
    ) -> Forward:
        """Logits in the documents' order, and what they cost; see `run_model`."""
        return run_model(self._model, encoded, budget, progress)


def batches(
    encoded: EncodedDocuments, budget: int, device: torch.device
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Packed batches, the longest documents first: the documents' numbers, the model's inputs."""
    for numbers in fill_batches(encoded.sizes, budget):
        inputs = pack(encoded, numbers)
        yield numbers, on_device(inputs, device)


def on_device(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Put the tensors of a packed batch on a device; plain numbers stay what they are."""
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in inputs.items()
    }


def run_model(
    model: TerselyForSequenceClassification,
    encoded: EncodedDocuments,
    budget: int,
    progress: Callable[[int], None] | None = None,
) -> Forward:
    """Run a model over documents, without gradients.

    Args:
        model: the model, in evaluation mode.
        encoded: the documents.
        budget: tokens of a packed batch.
        progress: called with the number of documents done after each batch.
    """
    logits = np.zeros((len(encoded), model.num_labels), dtype=np.float32)
    encoder = everything = 0
    alive: list[int] = []
    with torch.inference_mode():
        for numbers, inputs in batches(encoded, budget, model.device):
            output = model(**inputs, output_trace="sizes")
            logits[numbers] = output.logits.float().cpu().numpy()
            trace: Trace = output.trace
            encoder += trace.encoder_macs
            everything += trace.macs
            blocks = [sum(block) for block in trace.tokens_alive()]
            alive = [a + b for a, b in zip(alive or [0] * len(blocks), blocks, strict=True)]
            if progress is not None:
                progress(len(numbers))
    return Forward(logits, encoder, everything, tuple(alive))
