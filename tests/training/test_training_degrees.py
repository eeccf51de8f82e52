"""Degrees are learned softly, frozen to whole numbers, and trained on under them."""

from __future__ import annotations

import pytest
import torch

from tersely import Classifier, TrainingSettings, preset
from tersely.methods.patterns import Neighbours
from tersely.text.batching import pack
from words import PLAIN, labelled, save_encoder


@pytest.mark.parametrize("heads", ["mean", "each"])
def test_a_run_ends_with_neighbours_near_the_target(heads, tmp_path):
    encoder = save_encoder(tmp_path / "encoder", num_hidden_layers=2)
    texts, labels = labelled(60, seed=0)
    texts = [f"{text} {text} {text} {text}" for text in texts]
    plan = preset("breaking-bert", target=0.5, most=48, heads=heads, start=0)
    classifier = Classifier(encoder, method=plan)
    settings = TrainingSettings(epochs=12, learning_rate=1e-3, batch_tokens=256, seed=1, **PLAIN)
    classifier.fit(texts, labels, settings=settings)
    assert {"dense_stage", "soft_stage"} <= set(classifier.training)
    frozen = classifier.plan.steps[0].act
    assert isinstance(frozen, Neighbours) and len(frozen.widths) == 2
    assert all(isinstance(width, list) == (heads == "each") for width in frozen.widths)
    model = classifier.model
    assert not model.plan.learns and not len(model.learned)
    encoded = classifier.encode(texts[:8])
    with torch.no_grad():
        trace = model(**pack(encoded, range(8)), output_trace=True).trace
    pairs = [each for b in trace.blocks for each in zip(b.connected, b.queries, strict=True)]
    shares = [connected / tokens**2 for connected, tokens in pairs]
    assert sum(shares) / len(shares) == pytest.approx(0.5, abs=0.1)
    classifier.save(tmp_path / "model")
    again = Classifier.from_pretrained(tmp_path / "model")
    assert again.plan == classifier.plan
    assert again.predict(texts[:5]) == classifier.predict(texts[:5])
