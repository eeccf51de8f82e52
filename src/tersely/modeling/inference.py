"""Running a trained model over documents: packed batches, logits in the documents' order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tersely.cascade import LINEAR, Stage, run_cascade
from tersely.modeling import TerselyForSequenceClassification
from tersely.modeling.cascading import about_answers, linear_log_probabilities, stage_model
from tersely.text.batching import fill_batches, pack
from tersely.text.encoding import EncodedDocuments


@dataclass(frozen=True)
class Forward:
    """What a pass over documents gave; counts are of all documents together."""

    logits: np.ndarray  # (documents, labels) float32, in the documents' order
    encoder_macs: int  # of the encoder's blocks
    macs: int  # of all matrix products, the head's included
    tokens_by_block: tuple[int, ...] = ()  # that went through each block's feed-forward
    stages: np.ndarray | None = None  # of a cascade, which answered, (documents,)
    confidence: np.ndarray | None = None  # of the stage that answered, (documents,) from 0 to 1


class TorchRunner:
    """Run a model in evaluation mode with torch; `OnnxRunner` does the same for an export."""

    def __init__(self, model: TerselyForSequenceClassification) -> None:
        self.config, self.linear = model.config, model.linear
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

    `progress` is called with the number of documents done after each batch. The stages of a
    cascade answer one after the other, each on all documents that are left.
    """
    if model.cascade is not None:

        def run(stage: Stage, part: EncodedDocuments) -> Forward:
            return run_model(stage_model(model, stage), part, budget)

        return run_stages(model, encoded, run, progress)
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


def run_stages(
    model: Any,
    encoded: EncodedDocuments,
    run_stage: Callable[[Stage, EncodedDocuments], Forward],
    progress: Callable[[int], None] | None = None,
) -> Forward:
    """Run a cascade over documents, those that go on packed anew.

    Its MACs are those of all stages, but for the linear one's. `model` is a model or an export of
    one, and `run_stage` runs a stage of it that is not linear.
    """
    passed: list[Forward] = []

    def run(stage: Stage, numbers: Tensor) -> Tensor:
        part = encoded.select(numbers.cpu().numpy())
        if stage.kind == LINEAR:
            return linear_log_probabilities(model.linear, part)
        passed.append(run_stage(stage, part))
        return torch.from_numpy(passed[-1].logits).to(model.device)

    options = about_answers(model) | {"progress": progress}
    found = run_cascade(model.cascade, len(encoded), run, **options)
    arrays = (found.logits, found.stages, found.confidence)
    logits, *who = (each.cpu().numpy() for each in arrays)
    macs = (sum(each.encoder_macs for each in passed), sum(each.macs for each in passed))
    blocks = [each.tokens_by_block for each in passed if each.tokens_by_block]
    return Forward(logits, *macs, tuple(map(sum, zip(*blocks, strict=True))), *who)
