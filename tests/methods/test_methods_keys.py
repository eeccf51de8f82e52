"""Keys that each head lost are gathered around or hidden: the same answers, other work."""

from __future__ import annotations

import pytest
import torch

from method_table import build, pad
from tersely.reduction import plan as resolved
from tersely.reduction import preset
from tiny import tiny_ids

LENGTHS = [11, 30, 4, 4, 23, 1]


@pytest.mark.parametrize("keep", [0.95, 0.6])
@pytest.mark.parametrize("reading", ["block", "complement"])
@pytest.mark.parametrize("training", [True, False])
def test_hidden_keys_give_what_gathered_ones_give(keep, reading, training, monkeypatch):
    model = build(preset("focus-pf", keep=keep, reading=reading), num_hidden_layers=4)
    model.train(training)
    outputs = []
    for share in (0.0, 2.0):
        monkeypatch.setattr(resolved, "_HIDE_FROM", share)
        torch.manual_seed(0)  # of the dropout in training
        with torch.set_grad_enabled(training):
            outputs.append(model(**pad(tiny_ids(LENGTHS)), output_trace=True))
    hidden, gathered = outputs
    torch.testing.assert_close(hidden.logits, gathered.logits, rtol=1e-5, atol=1e-5)
    fewer = 0
    for one, other in zip(hidden.trace.blocks, gathered.trace.blocks, strict=True):
        assert one.keys == other.keys
        assert one.pairs == [n * n for n in one.queries]
        assert other.pairs == [n * k for n, k in zip(other.queries, other.keys, strict=True)]
        if one.alive_keys is not None:
            assert torch.equal(one.alive_keys, other.alive_keys)
        fewer += one.macs > other.macs
    assert fewer, "every head kept all keys here, so this test could not fail"


@pytest.mark.parametrize(("keep", "first"), [(0.9, 3), (0.5, 1)])
def test_keys_are_hidden_while_most_of_them_are_left(keep, first):
    plan = preset("focus-pf", keep=keep).resolve(6)
    assert [plan.hides_keys(block) for block in range(6)] == [block < first for block in range(6)]
