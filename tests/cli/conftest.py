"""A tiny encoder with a tokenizer of its own, labelled documents, and models trained on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_documents import WORDS, rows, write_csv

from commands import run_command
from tersely import Classifier, TrainingSettings
from tiny import tiny_config, tiny_encoder, tiny_tokenizer


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A directory with a tiny BERT and a tokenizer of whole words."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = tiny_tokenizer(WORDS)
    assert len(tokenizer) <= tiny_config("bert").vocab_size
    tiny_encoder("bert").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> Path:
    """Labelled documents as CSV."""
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", rows(40))


def train_tiny(encoder: Path, folder: Path, method: str, labels: list, **options) -> Path:
    """A model directory, trained for a step or two."""
    texts = [text for text, _ in rows(len(labels))]
    settings = TrainingSettings(epochs=1, learning_rate=1e-3, batch_tokens=256)
    classifier = Classifier(str(encoder), method=method, device="cpu", **options)
    classifier.fit(texts, labels, settings=settings).save(folder)
    return folder


@pytest.fixture(scope="session")
def model(encoder, tmp_path_factory) -> Path:
    """A trained model of two labels that combines tokens."""
    labels = [label for _, label in rows(40)]
    return train_tiny(encoder, tmp_path_factory.mktemp("models") / "model", "focus-pfc", labels)


@pytest.fixture(scope="session")
def dense_model(encoder, tmp_path_factory) -> Path:
    """A dense one, with the family's head."""
    labels = [label for _, label in rows(40)]
    folder = tmp_path_factory.mktemp("models") / "dense-model"
    return train_tiny(encoder, folder, "dense", labels, head="family")


@pytest.fixture(scope="session")
def lat_model(encoder, tmp_path_factory) -> Path:
    """One that runs at any budget."""
    labels = [label for _, label in rows(40)]
    folder = tmp_path_factory.mktemp("models") / "lat"
    # The documents are short: with the floor that short texts have, nothing would be removed.
    return train_tiny(encoder, folder, "lat", labels, method_options={"least": 1})


@pytest.fixture
def run():
    """Run the command line in this process: `run("predict", model, data)`."""
    return run_command


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
