"""Exports of tiny models, made without the command line, and documents to compare them on."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely import Classifier
from tersely.errors import TerselyWarning
from tersely.export import export_model
from tersely.export.directory import Check
from tersely.modeling import from_encoder
from tersely.modeling.cascading import fit_beside
from tersely.reduction import Plan
from tersely.text.encoding import encode
from words import LABELS, labelled, save_encoder, tokenizer


def save_model(folder: Path, plan: Plan | str, *, blocks: int = 2, **fields: Any) -> Path:
    """A tiny tersely model with random weights, sure of its labels.

    Where its plan chooses by a linear stage, that is fitted on some labelled texts.
    """
    encoder = save_encoder(folder / "encoder", num_hidden_layers=blocks)
    options = {"id2label": dict(enumerate(LABELS))} | fields
    torch.manual_seed(0)
    model = from_encoder(str(encoder), plan=plan, **options)
    classifier = getattr(model.head, "classifier", None) or model.head["classifier"]
    classifier.weight.data.mul_(30)
    if model.config.reduction_plan().needs_linear:
        texts, labels = labelled(60)
        known = encode(tokenizer(), texts, max_length=64)
        numbers = np.array([LABELS.index(label) for label in labels])
        model = model.beside(fit_beside(model, known, numbers, tokenizer()).stage)
    model.save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    return folder / "model"


def export_of(model: Path, out: Path, texts: list[str], **options: Any) -> Check:
    """Export a saved model; that some texts are too long is no news here."""
    classifier = Classifier.from_pretrained(model, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        return export_model(classifier, out, texts, **options)
