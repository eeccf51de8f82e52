"""A tiny tokenizer of whole words, and documents whose label is a word of theirs."""

import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from tersely import Classifier
from tersely.text import Documents
from tiny import tiny_encoder, tiny_tokenizer

# What tests of one thing fix, so that no change of the recipe reaches them.
PLAIN = {
    "batch_documents": 1000,
    "head_factor": 1.0,
    "layer_decay": 1.0,
    "dropout": 0.1,
    "class_weights": "none",
}
LABELS = ("animals", "music", "weather")
_TELLING = {"animals": ("cat", "dog"), "music": ("piano", "drum"), "weather": ("rain", "snow")}
_FILLER = tuple(f"word{number}" for number in range(40))


def tokenizer() -> PreTrainedTokenizerFast:
    """Words to ids, with [CLS] in front and [SEP] behind, and token types for pairs."""
    telling = [word for words in _TELLING.values() for word in words]
    return tiny_tokenizer([*telling, *_FILLER])


def save_encoder(folder: Path, **overrides: object) -> Path:
    """Write a tiny BERT with the tokenizer, as a checkpoint of transformers."""
    tiny_encoder("bert", **overrides).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def labelled(count: int, *, words: int = 12, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of filler with one or two telling words, and their labels."""
    chance = random.Random(seed)
    texts, labels = [], []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        document = [chance.choice(_FILLER) for _ in range(chance.randint(3, words))]
        document.insert(chance.randrange(len(document)), chance.choice(_TELLING[label]))
        texts.append(" ".join(document))
        labels.append(label)
    return texts, labels


def documents(count: int = 60, *, seed: int = 0) -> Documents:
    """The same as documents of the library."""
    return Documents.from_lists(*labelled(count, seed=seed))


def long_documents(count: int = 40, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """The same, long enough for a share of the tokens to be fine-grained."""
    texts, labels = labelled(count, seed=seed)
    return [f"{text} {text} {text} {text}" for text in texts], labels


def same_weights(one: Classifier, other: Classifier) -> bool:
    """Whether two classifiers have the same weights, bit by bit."""
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def quiet(model: torch.nn.Module) -> torch.nn.Module:
    """In training, without dropout."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model
