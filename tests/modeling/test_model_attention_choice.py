"""Whatever attention somebody sets, documents of a batch never attend to each other."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from method_table import METHODS, build, pack, pad
from tersely import TerselyForSequenceClassification
from tersely.errors import ModelError, TerselyWarning
from tersely.modeling import modeling
from tiny import tiny_ids

BATCHES = [pad(tiny_ids([9, 20, 3])), pack(tiny_ids([9, 20, 3]))]


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", ["sdpa", "eager"])
@torch.no_grad()
def test_another_attention_is_refused_with_a_warning(family, whole, name):
    model = build(METHODS["focus-pfc"], family).eval()
    expected = [model(**batch).logits for batch in BATCHES]
    (model if whole else model.encoder).set_attn_implementation(name)
    with pytest.warns(TerselyWarning, match=f"the attention implementation '{name}' was set"):
        first = model(**BATCHES[0]).logits
    # The warning is not repeated: here it would be an error.
    assert torch.equal(first, expected[0])
    assert torch.equal(model(**BATCHES[1]).logits, expected[1])


@pytest.mark.parametrize(
    "loader", [TerselyForSequenceClassification, AutoModelForSequenceClassification]
)
@torch.no_grad()
def test_another_attention_asked_for_in_loading_is_refused(loader, tmp_path):
    model = build(METHODS["focus-pf"]).eval()
    model.save_pretrained(tmp_path)
    with pytest.warns(TerselyWarning, match="'sdpa' was set .* keeps its packed attention"):
        loaded = loader.from_pretrained(tmp_path, attn_implementation="sdpa")
    for batch in BATCHES:
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)


def test_an_encoder_that_bypasses_the_packed_attention_is_noticed(monkeypatch):
    model = build(METHODS["dense"]).eval()
    monkeypatch.setattr(modeling, "_pin_attention", lambda config: None)
    model.encoder.config._attn_implementation = "eager"
    with pytest.raises(ModelError, match="did not call the packed attention in block 0"):
        model(**BATCHES[0])
