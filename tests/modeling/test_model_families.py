"""A dense model is the stock classifier of transformers, for every family, and becomes it again."""

import pytest
import torch
from checkpoints import NAMES, save_classifier
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from method_table import build, pad
from tersely import preset
from tersely.errors import ModelError
from tersely.modeling import dense_checkpoint, from_encoder
from tiny import FAMILIES, tiny_ids

LENGTHS = [9, 25, 3, 1, 14]
EXACT = {"rtol": 1e-5, "atol": 1e-5}

# ModernBERT's head reads the first token or the mean of all.
VARIANTS = [(family, {}) for family in FAMILIES] + [("modernbert", {"classifier_pooling": "mean"})]


def padded(model) -> dict[str, torch.Tensor]:
    return pad(tiny_ids(LENGTHS), model.config.pad_token_id)


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
@torch.no_grad()
def test_a_fine_tuned_classifier_gives_the_stock_logits_and_becomes_it_again(
    family, overrides, tmp_path
):
    stock = save_classifier(tmp_path / "stock", family, **overrides)
    model = from_encoder(tmp_path / "stock")
    assert model.config.head == "family"
    dense_checkpoint(model).save_pretrained(tmp_path / "back")
    back = type(stock).from_pretrained(tmp_path / "back")
    assert (back.config.id2label, back.config.label2id) == (NAMES, stock.config.label2id)
    assert back.state_dict().keys() == stock.state_dict().keys()
    batch = padded(stock)
    expected = stock(**batch).logits
    assert expected.std(0).min() > 1e-3, "all documents look alike here"
    for own in (model, back):
        torch.testing.assert_close(own(**batch).logits, expected, **EXACT)


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
@torch.no_grad()
def test_the_count_of_macs_is_torchs(family, overrides):
    """With the family's own head; the other head and all methods are in test_model_methods.py."""
    model = build(preset("dense"), family, head="family", **overrides).eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        trace = model(**pad(tiny_ids(LENGTHS)), output_trace=True).trace
    assert trace.macs == counter.get_total_flops() / 2


@pytest.mark.parametrize("family", ["bert", "electra"])
@torch.no_grad()
def test_token_types_follow_their_tokens(family, tmp_path):
    stock = save_classifier(tmp_path, family)
    model = from_encoder(tmp_path).eval()
    batch = padded(stock)
    types = torch.zeros_like(batch["input_ids"])
    for row, length in enumerate(LENGTHS):
        types[row, length // 2 : length] = 1
    expected = stock(**batch, token_type_ids=types).logits
    torch.testing.assert_close(model(**batch, token_type_ids=types).logits, expected, **EXACT)
    assert not torch.allclose(model(**batch).logits, expected, **EXACT)
    mask = batch["attention_mask"].bool()
    packed = {
        "input_ids": batch["input_ids"][mask][None],
        "token_type_ids": types[mask][None],
        "cu_seq_lens_q": torch.tensor([0, *LENGTHS]).cumsum(0),
    }
    torch.testing.assert_close(model(**packed).logits, expected, **EXACT)


def test_only_a_dense_model_with_the_familys_head_becomes_a_stock_one(tmp_path):
    save_classifier(tmp_path)
    with pytest.raises(ModelError, match="only a dense model has a form .* got .*'focus-p'"):
        dense_checkpoint(from_encoder(tmp_path, plan="focus-p"))
    with pytest.raises(ModelError, match="only a model with its family's head .*'mean'"):
        dense_checkpoint(from_encoder(tmp_path, head="mean"))


DOCUMENTS = tiny_ids([7, 12, 3, 5])
CLASSES = torch.tensor([0, 2, 1, 1])
SEVERAL = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
FIGURES = torch.tensor([0.5, -1.0, 2.0, 0.0])

PROBLEMS = [
    ("single_label_classification", CLASSES, {}),
    ("multi_label_classification", SEVERAL, {}),
    ("regression", FIGURES, {"num_labels": 1}),
    ("regression", SEVERAL, {}),
]


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("problem", "labels", "overrides"), PROBLEMS)
@torch.no_grad()
def test_losses_are_the_stock_models_and_so_is_a_guess_from_the_labels(
    stated, problem, labels, overrides, tmp_path
):
    options = {"problem_type": problem} if stated else {}
    stock = save_classifier(tmp_path, **options, **overrides)
    model = from_encoder(tmp_path)
    assert model(**pad(DOCUMENTS)).loss is None
    loss = model(**pad(DOCUMENTS), labels=labels).loss
    torch.testing.assert_close(loss, stock(**pad(DOCUMENTS), labels=labels).loss)
    assert model.config.problem_type == stock.config.problem_type
    assert model.config.problem_type == problem or not stated
