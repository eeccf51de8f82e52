"""Checkpoints as transformers writes them, tiny and on disk, and the damage that befalls them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tiny import SPECIAL, VOCABULARY, tiny_config, tiny_encoder, tiny_tokenizer

NAMES = {0: "sport", 1: "business", 2: "politics"}


def save_encoder(path: Path, family: str = "bert", **overrides: object) -> PreTrainedModel:
    """A base encoder, as pretraining leaves it."""
    encoder = tiny_encoder(family, **overrides)
    encoder.save_pretrained(path)
    return encoder


def save_classifier(path: Path, family: str = "bert", **overrides: object) -> PreTrainedModel:
    """A sequence classifier with three labels, as fine-tuning leaves it."""
    numbers = {name: number for number, name in NAMES.items()}
    labels = {} if "num_labels" in overrides else {"id2label": NAMES, "label2id": numbers}
    config = tiny_config(family, **labels, **overrides)
    model = AutoModelForSequenceClassification.from_config(config)
    # Biases and norms start as 0 and 1, which would hide a mistake in them.
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    model.save_pretrained(path)
    return model.eval()


def change_weights(path: Path, change: Callable[[dict], object]) -> None:
    """Edit the weights of a saved model."""
    file = path / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def change_config(path: Path, *keys: str, value: object) -> None:
    """Set one value of a saved `config.json`, to which the keys lead."""
    file = path / "config.json"
    data = inner = json.loads(file.read_text(encoding="utf-8"))
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    file.write_text(json.dumps(data), encoding="utf-8")


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words w4 … w99 by their numbers."""
    return tiny_tokenizer([f"w{number}" for number in range(SPECIAL, VOCABULARY)])
