"""The whole model agrees with the paper's, written with full matrices and boolean masks."""

from __future__ import annotations

import pytest
import torch
from method_table import build, pad
from slow_model import Settings, slow_logits
from tiny import tiny_ids

from laconic.reduction import preset

LENGTHS = [40, 17, 3, 29, 1, 33]

CASES = [
    ("focus-p", {"keep": 0.7}, Settings(0.7, fuzzy=False)),
    ("focus-p", {"keep": 0.7, "heads": "mean"}, Settings(0.7, fuzzy=False, per_head=False)),
    ("focus-pf", {}, Settings(0.9)),
    ("focus-pf", {"keep": 0.6}, Settings(0.6)),
    ("focus-pf", {"keep": 0.6, "heads": "mean"}, Settings(0.6, per_head=False)),
    ("focus-pf", {"keep": 0.5, "pin": "none"}, Settings(0.5, pin="none")),
    ("focus-pf", {"keep": 0.5, "reading": "complement"}, Settings(0.5, reading="complement")),
    ("focus-c", {"combine_at": 2, "tokens": 4}, Settings(1.0, combining=2)),
    ("focus-pfc", {"keep": 0.6, "combine_at": 3, "tokens": 4}, Settings(0.6, combining=3)),
    (
        "focus-pfc",
        {"keep": 0.6, "combine_at": 4, "pin": "first", "reading": "complement", "tokens": 2},
        Settings(0.6, combining=4, pin="first", reading="complement"),
    ),
]


@pytest.mark.parametrize(("name", "options", "settings"), CASES)
def test_the_model_agrees_with_the_slow_one(name, options, settings):
    model = build(preset(name, **options), num_hidden_layers=5).eval()
    documents = tiny_ids(LENGTHS)
    with torch.no_grad():
        output = model(**pad(documents), output_trace=True)
    slow = [slow_logits(model, document, settings) for document in documents]
    torch.testing.assert_close(
        output.logits, torch.stack([logits for logits, _ in slow]), rtol=1e-5, atol=1e-5
    )
    blocks = [layer for layer in output.trace.layers if layer.kind == "block"]
    for number, layer in enumerate(blocks):
        # The places that a document's keys take are those of the head with most of them.
        widest = [int(seen.key_masks[number].sum(1).max()) for _, seen in slow]
        assert layer.keys == widest
    if settings.combining is not None:
        groups = output.trace.layers[settings.combining].groups.values.tolist()
        assert groups == [group for _, seen in slow for group in seen.groups]


def test_the_cases_tell_heads_apart():
    """Heads keep different numbers of keys in some case, or the comparison would miss a part."""
    model = build(preset("focus-pf", keep=0.6), num_hidden_layers=5).eval()
    counts = [
        mask.sum(1)
        for document in tiny_ids(LENGTHS)
        for mask in slow_logits(model, document, Settings(0.6))[1].key_masks
    ]
    assert any(len(set(count.tolist())) > 1 for count in counts)
