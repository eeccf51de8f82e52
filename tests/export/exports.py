"""Exports of tiny models, made without the command line, and documents to compare them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tersely import Classifier
from tersely.export import Check, Original, export_model
from tersely.modeling import from_encoder
from tersely.reduction import Plan
from words import LABELS, save_encoder, tokenizer

__all__ = ["export_of", "original_of", "save_model"]


def save_model(folder: Path, plan: Plan | str, **fields: Any) -> Path:
    """A tiny tersely model of four blocks with random weights, sure of its labels."""
    encoder = save_encoder(folder / "encoder", num_hidden_layers=4)
    options = {"id2label": dict(enumerate(LABELS))} | fields
    torch.manual_seed(0)
    model = from_encoder(str(encoder), plan=plan, **options)
    classifier = getattr(model.head, "classifier", None) or model.head["classifier"]
    classifier.weight.data.mul_(30)
    model.save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    return folder / "model"


def original_of(classifier: Classifier, texts: list[str], pairs: list[str] | None = None):
    """What `export_model` takes."""
    encoded = classifier.encode(texts, pairs, tell=False)
    return Original(
        model=classifier.torch_model(),
        tokenizer=classifier.tokenizer,
        longest=classifier.limit,
        problem_type=classifier.label_space.problem_type,
        encoded=encoded,
        logits=classifier.logits(encoded),
        made_up=False,
    )


def export_of(model: Path, out: Path, texts: list[str], **options: Any) -> Check:
    """Export a saved model."""
    classifier = Classifier.from_pretrained(model, device="cpu", backend="torch")
    return export_model(original_of(classifier, texts), out, **options)
