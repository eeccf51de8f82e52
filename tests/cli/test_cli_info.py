"""What `tersely info` says of a plan: every block is named once, with what happens there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tersely import preset
from tersely.cli.info import blocks


def said(method, **options):
    encoder = SimpleNamespace(num_hidden_layers=6)
    config = SimpleNamespace(encoder_config=encoder)
    return blocks(SimpleNamespace(plan=preset(method, **options), model_config=config))


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("dense", {}, {"0-5": "all of the encoder's work"}),
        ("fewer-layers", {"keep": 0.5}, {"0-2": "all of the encoder's work", "3-5": "left out"}),
        ("focus-c", {}, {"0-2": "all", "3": "replaced: combine (tokens=8", "4-5": "combination"}),
        ("truncate", {}, {"input": "drop-tokens, position", "0-5": "all of the encoder's work"}),
        ("topk", {}, {"0": "all", "1": "drop-tokens, column-mean", "2-5": "all"}),
    ],
)
def test_every_block_is_named_with_what_happens_there(method, options, expected):
    found = said(method, **options)
    assert list(found) == list(expected)
    for key, beginning in expected.items():
        assert found[key].startswith(beginning), (key, found[key])
