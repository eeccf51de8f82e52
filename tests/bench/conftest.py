"""A clock that only fakes move, and a tiny model with its tokenizer."""

import time

import pytest
import torch
from bench_fakes import WORDS
from transformers import BertConfig, BertForSequenceClassification

from tiny import tiny_tokenizer


class FakeClock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake = FakeClock()
    monkeypatch.setattr(time, "perf_counter", fake)
    return fake


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer(WORDS)


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_labels": 3}
    config = BertConfig(vocab_size=4 + len(WORDS), **shape)
    model = BertForSequenceClassification(config).eval()
    for parameter in model.classifier.parameters():
        torch.nn.init.normal_(parameter)
    return model
