"""The whole model agrees with the paper's, written with full matrices and boolean masks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from slow_model import Settings, slow_lengths, slow_logits

from method_table import METHODS, build, pad
from tersely.methods.focus import Combine, FuzzyRatio
from tersely.modeling.forward import ForwardPass, PackedInputs
from tersely.ragged import ExportLayout, Layout
from tersely.reduction import ColumnMean, DropKeys, Plan, Step, preset
from tersely.reduction import plan as resolved
from tiny import FAMILIES, tiny_ids

LENGTHS = [40, 17, 3, 29, 1, 33]

OWN_ROWS = ColumnMean(heads="each", count_combination_tokens=False)
DROP = Step(DropKeys(), {"stop": 4}, OWN_ROWS, FuzzyRatio(least=1, keep=0.6))
UNCOUNTED = Plan("uncounted", (DROP, Step(Combine(tokens=4), 4)))
COMBINED = {"combine_at": 3, "tokens": 4}
CASES = [
    (preset("focus-p", keep=0.7), Settings(0.7, rule="ratio")),
    (preset("focus-p", keep=0.7, heads="mean"), Settings(0.7, rule="ratio", per_head=False)),
    (preset("focus-pf"), Settings(0.9)),
    (preset("focus-pf", keep=0.6), Settings(0.6)),
    (preset("focus-pf", keep=0.6, heads="mean"), Settings(0.6, per_head=False)),
    (preset("focus-pf", keep=0.5, pin="none"), Settings(0.5, pin="none")),
    (preset("focus-pf", keep=0.5, reading="complement"), Settings(0.5, "complement")),
    (preset("focus-c", combine_at=2, tokens=4), Settings(1.0, combining=2)),
    (preset("focus-pfc", keep=0.6, **COMBINED), Settings(0.6, combining=3)),
    (
        preset("focus-pfc", keep=0.6, pin="first", reading="complement", **COMBINED),
        Settings(0.6, "complement", combining=3, pin="first"),
    ),
    (UNCOUNTED, Settings(0.6, combining=4, rows_of_combination_tokens=False)),
]


@pytest.mark.parametrize(("plan", "settings"), CASES)
@torch.no_grad()
def test_the_model_agrees_with_the_slow_one(plan, settings):
    model = build(plan, num_hidden_layers=5).eval()
    documents = tiny_ids(LENGTHS)
    output = model(**pad(documents), output_trace=True)
    logits, seen = zip(
        *(slow_logits(model, document, settings) for document in documents), strict=True
    )
    torch.testing.assert_close(output.logits, torch.stack(logits), rtol=1e-5, atol=1e-5)

    blocks = output.trace.blocks[: settings.combining]
    for number, (layer, after) in enumerate(pairwise(blocks), start=1):
        # The places that a document's keys take are those of the head with most of them.
        masks = [one.key_masks[number] for one in seen]
        assert after.keys == [int(mask.sum(1).max()) for mask in masks]
        expected = torch.from_numpy(np.concatenate(masks, axis=1).T)
        if layer.alive_keys is None:
            assert expected.all()
        else:
            own = layer.alive_keys.view(len(expected), -1)
            assert torch.equal(own.expand_as(expected), expected)
    if settings.combining is not None:
        groups = output.trace.blocks[settings.combining].groups.values.tolist()
        assert groups == [group for one in seen for group in one.groups]


@pytest.mark.parametrize("keep", [0.8, 0.5, 0.65])
@torch.no_grad()
def test_length_drop_agrees_with_the_slow_one(keep):
    model = build(preset("lat", least=1, keep=keep), num_hidden_layers=5).eval()
    documents = tiny_ids(LENGTHS)
    output = model(**pad(documents), output_trace=True)
    slow = [slow_lengths(model, document, keep) for document in documents]
    expected = torch.stack([logits for logits, _ in slow])
    torch.testing.assert_close(output.logits, expected, rtol=1e-5, atol=1e-5)
    for number, layer in enumerate(output.trace.blocks):
        assert [part.tolist() for part in layer.alive.to_list()] == [one[number] for _, one in slow]


def logits_of(model, ids, layout):
    with torch.inference_mode():
        passed = ForwardPass(model, PackedInputs(ids, None, layout)).run()
    return passed.logits, passed.trace


def check(model, monkeypatch, lengths=(2, 3, 9, 24, 40)):
    # As a graph has them: in torch on CPUs, keys that few heads lost are hidden, not gathered.
    monkeypatch.setattr(resolved, "_HIDE_FROM", 2.0)
    for ids in tiny_ids(list(lengths)):
        wanted, trace = logits_of(model, ids, Layout.from_lengths([len(ids)]))
        found, own = logits_of(model, ids, ExportLayout(len(ids)))
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
        assert own.tokens_alive() == trace.tokens_alive()
        assert own.macs == trace.macs


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_one_document_as_exporters_see_it_gives_the_same(method, monkeypatch):
    check(build(METHODS[method]).eval(), monkeypatch)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["focus-pfc", "topk"])
def test_a_row_of_one_document_gives_the_same_in_every_family(family, method, monkeypatch):
    check(build(METHODS[method], family).eval(), monkeypatch, (5, 24))
