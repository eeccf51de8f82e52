"""A tiny encoder with a tokenizer of its own, labelled documents, and models trained on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_documents import WORDS, rows, write_csv
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from laconic import Classifier, TrainingSettings
from laconic.cli import app
from tiny import tiny_config, tiny_encoder

SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A directory with a tiny BERT and a tokenizer of whole words."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = {word: number for number, word in enumerate(SPECIALS + WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
    )
    assert len(vocabulary) <= tiny_config("bert").vocab_size
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
    return train_tiny(encoder, tmp_path_factory.mktemp("models") / "lat", "lat", labels)


@pytest.fixture
def run():
    """Run the command line in this process: `run("predict", model, data)`."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})

    def invoke(*arguments: object, stdin: str | bytes | None = None):
        result = runner.invoke(app, [str(argument) for argument in arguments], input=stdin)
        # An exception that the command line did not mean to end with is a bug, not a result.
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
