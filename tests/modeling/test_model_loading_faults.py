"""Checkpoints that load, and would mean something else: each was read silently once."""

import warnings

import pytest
import torch
from checkpoints import (
    NAMES,
    change_config,
    change_weights,
    save_classifier,
    save_encoder,
    word_tokenizer,
)

from method_table import METHODS, build, pad
from tersely.errors import ModelError, TerselyWarning
from tersely.modeling import from_encoder
from tersely.modeling.loading import load_classifier, load_tokenizer
from tiny import FAMILIES, tiny_ids

BATCH = pad(tiny_ids([7, 12, 3]))
SORTED = dict(enumerate(sorted(NAMES.values())))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_labels_in_another_order_keep_the_head(family, tmp_path):
    """Review 1: labels are sorted in training, and the head was lost without a word."""
    stock = save_classifier(tmp_path, family)
    model = from_encoder(tmp_path, id2label=SORTED)
    assert not model.head_is_new and model.config.id2label == SORTED
    batch = pad(tiny_ids([7, 12, 3]), stock.config.pad_token_id)
    own, expected = model(**batch).logits, stock(**batch).logits
    for number, name in NAMES.items():
        row = model.config.label2id[name]
        torch.testing.assert_close(own[:, row], expected[:, number], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_labels_of_a_dense_model_in_another_order_keep_the_head(tmp_path):
    """Review 1, the same of our own models."""
    dense = build(METHODS["dense"])
    dense.config.id2label = NAMES
    dense.config.problem_type = "single_label_classification"
    dense.save_pretrained(tmp_path)
    model = from_encoder(tmp_path, id2label=SORTED)
    assert not model.head_is_new and model.config.problem_type == dense.config.problem_type
    rows = [model.config.label2id[NAMES[number]] for number in range(3)]
    torch.testing.assert_close(model(**BATCH).logits[:, rows], dense.eval()(**BATCH).logits)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_checkpoint_without_tokenizer_files_is_refused(family, tmp_path):
    """F2: transformers makes an empty tokenizer, and every document got the same label."""
    save_classifier(tmp_path, family)
    with pytest.raises(ModelError, match=r"expected the files of a tokenizer .* and no word"):
        load_tokenizer(str(tmp_path), {})


def test_ids_beyond_the_embeddings_are_refused(tmp_path):
    """F9: a tokenizer and a model that do not belong together, a traceback in use."""
    save_encoder(tmp_path, vocab_size=90)
    word_tokenizer().save_pretrained(tmp_path)
    config = from_encoder(tmp_path).config
    with pytest.raises(ModelError, match=r"ids up to 99, and the model embeddings of 90 tokens"):
        load_tokenizer(str(tmp_path), {}, config)
    assert load_tokenizer(str(tmp_path), {}) is not None


LEFTOVER = "bert.encoder.layer.0.attention.self.distance_embedding.weight"


def leave_over(path):
    change_weights(path, lambda weights: weights.update({LEFTOVER: torch.zeros(3, 8)}))


def relative(path):
    change_config(path, "position_embedding_type", value="relative_key")


def old_name(path):
    change_config(path, "model_type", value="laconic")


def names(*numbers):
    named = {str(number): f"name {number}" for number in numbers}
    return lambda path: change_config(path, "id2label", value=named)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        pytest.param(relative, "position_embedding_type='relative_key'", id="F4, a field"),
        pytest.param(old_name, "version 0.1 of this project", id="saved by 0.1"),
        pytest.param(leave_over, "has 1 encoder weights .*distance_emb", id="F4, weights"),
        pytest.param(names(1, 2, 3), "from 0 to 2, got 1, 2, 3; number", id="F10, from 1"),
        pytest.param(names(0, 1), r"shape \(2,\) by .* got \(3,\)", id="F10, fewer"),
        pytest.param(names(0, 1, 2, 3), r"shape \(4,\) by .* got \(3,\)", id="F10, more"),
    ],
)
def test_a_checkpoint_that_means_something_else_is_refused(spoil, match, tmp_path):
    save_classifier(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=match):
        load_classifier(str(tmp_path))


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_what_pretraining_leaves_over_is_no_reason(family, tmp_path):
    """Heads, a pooler and tables of positions in a file are not what the encoder computes."""
    save_classifier(tmp_path, family)
    tables = {f"{family}.embeddings.position_ids": torch.arange(64)}
    tables["cls.predictions.bias"] = torch.zeros(100)
    change_weights(tmp_path, lambda weights: weights.update(tables))
    assert from_encoder(str(tmp_path), num_labels=5).head_is_new


@pytest.mark.parametrize("load", [from_encoder, load_classifier])
@pytest.mark.parametrize("kind", ["stock", "tersely"])
def test_half_precision_is_read_as_float32_and_said_once(load, kind, tmp_path):
    """F7: training ran in the file's half precision, to NaN at step 8."""
    stored = save_classifier(tmp_path) if kind == "stock" else build(METHODS["dense"])
    stored.to(torch.float16).save_pretrained(tmp_path)
    with pytest.warns(TerselyWarning, match="stored in float16 and are read as float32") as said:
        model = load(str(tmp_path))
    assert len(said) == 1 and {p.dtype for p in model.parameters()} == {torch.float32}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(str(tmp_path), dtype=torch.float16).dtype == torch.float16
        model.save_pretrained(tmp_path / "again")
        assert load(str(tmp_path / "again")).dtype == torch.float32
