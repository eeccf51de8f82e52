"""What a batch may look like, and what is said of one that cannot be read."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification

from method_table import METHODS, build, pack, pad
from tersely import TerselyForSequenceClassification
from tersely.errors import ModelError, TerselyWarning
from tersely.modeling import modeling
from tiny import tiny_ids

IDS = torch.stack(tiny_ids([6, 6, 6]))
ROW = torch.cat(tiny_ids([6, 6]))[None]


@torch.no_grad()
def test_padding_may_stand_on_either_side_or_nowhere():
    model = build(METHODS["focus-pf"]).eval()
    expected = model(IDS, attention_mask=torch.ones_like(IDS)).logits
    assert torch.equal(model(IDS).logits, expected)
    right = pad(tiny_ids([9, 4]))
    left = {name: tensor.clone() for name, tensor in right.items()}
    for tensor in left.values():
        tensor[1] = tensor[1].roll(5)
    torch.testing.assert_close(model(**left).logits, model(**right).logits)


class Reads(TorchDispatchMode):
    """Counts what is read from tensors into Python, for which a GPU would have to be waited for."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("known", [True, False])
@torch.no_grad()
def test_a_dense_pass_reads_nothing_back_where_the_lengths_are_known(known, monkeypatch):
    """The boundaries were made of Python's numbers, checked on the device and read back."""
    model = build(METHODS["dense"]).eval()
    batch = {"input_ids": ROW, "cu_seq_lens_q": torch.tensor([0, 5, 12])}
    expected, reads = model(**batch).logits, Reads()

    def tolist(tensor, own=torch.Tensor.tolist):
        reads.count += 1
        return own(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)
    with reads:
        logits = model(**batch, lengths=[5, 7] if known else None, output_trace="sizes").logits
    assert torch.equal(logits, expected)
    assert (reads.count == 0) == known


def row(*bounds, **others):
    return {"input_ids": ROW, "cu_seq_lens_q": torch.tensor(bounds)} | others


EMPTY = torch.tensor([[1], [0], [1]]).expand(3, 6)


@pytest.mark.parametrize(
    ("batch", "fragment"),
    [
        ({}, "expected input_ids, got none"),
        (
            {"input_ids": IDS, "attention_mask": EMPTY},
            "one token, but document 1 has none",
        ),
        ({"input_ids": torch.full((1, 65), 5)}, "bert takes .* at most 64 tokens, got one of 65"),
        (row(0, 6, 11), "cu_seq_lens_q must end with 12, .* got 11"),
        (row(0, 6, 12, lengths=[12]), "a number for each of the 2 documents .*, got 1"),
        (row(2, 6, 12), "cu_seq_lens_q must start with 0 and never decrease, got"),
        (row(0, 6, 6, 12), "every document needs at least one token, but document 1 has none"),
        (row(0, 18, input_ids=IDS), r"a packed batch must be .* got input_ids of shape \(3, 6\)"),
        (row(0, 12, attention_mask=torch.ones_like(ROW)), "without attention_mask, got"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(batch, fragment):
    with pytest.raises(ModelError, match=fragment):
        build(METHODS["focus-pf"])(**batch)


# ---- whatever attention somebody sets, documents never attend to each other --------------------

BATCHES = [pad(tiny_ids([9, 20, 3])), pack(tiny_ids([9, 20, 3]))]


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", ["sdpa", "eager"])
@torch.no_grad()
def test_another_attention_is_refused_with_a_warning(family, whole, name):
    model = build(METHODS["focus-pfc"], family).eval()
    expected = [model(**batch).logits for batch in BATCHES]
    (model if whole else model.encoder).set_attn_implementation(name)
    with pytest.warns(TerselyWarning, match=f"the attention implementation '{name}' is ignored"):
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
    with pytest.warns(TerselyWarning, match="'sdpa' is ignored: "):
        loaded = loader.from_pretrained(tmp_path, attn_implementation="sdpa")
    for batch in BATCHES:
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)


def test_an_encoder_that_bypasses_the_packed_attention_is_noticed(monkeypatch):
    model = build(METHODS["dense"]).eval()
    monkeypatch.setattr(modeling, "_pin_attention", lambda config: None)
    model.encoder.config._attn_implementation = "eager"
    with pytest.raises(ModelError, match="did not call the packed attention in block 0"):
        model(**BATCHES[0])
