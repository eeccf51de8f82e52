"""What predictors learn from the dense model, before the method is switched on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import batches
from tersely.modeling.saliency import saliency
from tersely.reduction import Plan, Threshold
from tersely.training.trainer import TrainingDocuments

__all__ = ["document_saliency", "pupil"]


def document_saliency(
    dense: TerselyForSequenceClassification, train: TrainingDocuments, batch_tokens: int
) -> list[np.ndarray]:
    """How much each token matters to the dense model, `(tokens,)` for each window."""
    encoded = train.encoded
    found: list[np.ndarray] = [np.empty(0)] * len(encoded.windows)
    starts = encoded.starts
    for numbers, inputs in batches(encoded, batch_tokens, dense.device):
        labels = torch.from_numpy(train.labels[numbers]).to(dense.device)
        row = saliency(dense, inputs, labels).cpu()
        windows = [starts[n] + i for n in numbers for i in range(encoded.counts[n])]
        lengths = inputs["cu_seq_lens_q"].diff().tolist()
        for window, values in zip(windows, row.split(lengths), strict=True):
            found[window] = values.numpy()
    return found


def pupil(dense: TerselyForSequenceClassification, plan: Plan) -> TerselyForSequenceClassification:
    """A model on the same weights that predicts but drops nothing, and learns to predict alone."""
    steps = [
        replace(step, select=Threshold(pin=step.select.pin, threshold=0.0))
        if getattr(step.score, "saliency", 0)
        else step
        for step in plan.steps
    ]
    model = with_plan(dense, replace(plan, steps=tuple(steps)))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in model.learned.parameters():
        parameter.requires_grad_(True)
    return model
