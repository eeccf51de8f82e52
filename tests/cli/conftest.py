"""A tiny encoder with a tokenizer of its own, labelled documents, and models trained on them."""

import os
from pathlib import Path

import pytest

from commands import WORDS, rows, run_command, write_csv
from tersely import Classifier, TrainingSettings
from tiny import tiny_encoder, tiny_tokenizer


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A directory with a tiny BERT and a tokenizer of whole words."""
    folder = tmp_path_factory.mktemp("encoder")
    tiny_encoder("bert").save_pretrained(folder)
    tiny_tokenizer(WORDS).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> Path:
    """Labelled documents as CSV."""
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", rows(40))


@pytest.fixture(scope="session")
def trained(encoder, tmp_path_factory):
    """Train a classifier of two labels for a step or two, and return its directory."""

    def train(name: str, method: str, **options) -> Path:
        texts, labels = map(list, zip(*rows(40), strict=True))
        settings = TrainingSettings(epochs=1, learning_rate=1e-3, batch_tokens=256)
        classifier = Classifier(str(encoder), method=method, device="cpu", **options)
        folder = tmp_path_factory.mktemp("models") / name
        classifier.fit(texts, labels, settings=settings).save(folder)
        return folder

    return train


@pytest.fixture(scope="session")
def model(trained) -> Path:
    """A model that combines tokens."""
    return trained("model", "focus-pfc")


@pytest.fixture(scope="session")
def dense_model(trained) -> Path:
    """A dense one, with the family's head."""
    return trained("dense-model", "dense", head="family")


@pytest.fixture(scope="session")
def lat_model(trained) -> Path:
    """One that runs at any budget; the texts are short, and their floor would keep all of them."""
    return trained("lat", "lat", method_options={"least": 1})


@pytest.fixture
def run():
    """Run the command line in this process: `run("predict", model, data)`."""
    return run_command


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
