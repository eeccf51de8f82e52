"""A row of one document as exporters see it gives what the packed row gives, for every method."""

from __future__ import annotations

import pytest
import torch

from method_table import METHODS, build
from tersely.modeling.forward import ForwardPass, PackedInputs
from tersely.ragged import ExportLayout, Layout
from tersely.reduction import plan as resolved
from tiny import FAMILIES, tiny_ids


@pytest.fixture(autouse=True)
def gathered_keys(monkeypatch):
    """As a graph has them: in torch on CPUs, keys that few heads lost are hidden, not gathered."""
    monkeypatch.setattr(resolved, "_HIDE_FROM", 2.0)


def logits_of(model, ids, layout):
    with torch.inference_mode():
        passed = ForwardPass(model, PackedInputs(ids, None, layout)).run()
    return passed.logits, passed.trace


def check(model, lengths=(2, 3, 9, 24, 40)):
    for ids in tiny_ids(list(lengths)):
        wanted, trace = logits_of(model, ids, Layout.from_lengths([len(ids)]))
        found, own = logits_of(model, ids, ExportLayout(len(ids)))
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
        assert own.tokens_alive() == trace.tokens_alive()
        assert own.macs == trace.macs


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    check(build(METHODS[method]).eval())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["focus-pfc", "topk"])
def test_every_family(family, method):
    check(build(METHODS[method], family).eval(), (5, 24))
