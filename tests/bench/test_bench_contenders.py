"""Stock and packed contenders give the model's own logits, in the order of the texts."""

import pickle

import numpy as np
import pytest
import torch
from bench_fakes import WORDS
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from tersely import Classifier, preset
from tersely.bench import PackedContender, StockContender, under_plan
from tersely.bench.stock import padded_macs
from tersely.errors import ModelError
from tiny import FAMILIES, tiny_config

LENGTHS = (3, 11, 1, 0, 30, 7, 11)
TEXTS = [" ".join(WORDS[(start + i) % 20] for i in range(n)) for start, n in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def wanted(model, tokenizer):
    """Each document alone, hence without padding."""
    with torch.inference_mode():
        rows = [
            model(**tokenizer(text, truncation=True, max_length=16, return_tensors="pt")).logits
            for text in TEXTS
        ]
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("order", ["arrival", "sorted"])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_stock_logits_are_those_of_each_document_alone(model, tokenizer, wanted, order, batch_size):
    contender = StockContender(model, tokenizer, order=order, batch_size=batch_size, max_length=16)
    contender = pickle.loads(pickle.dumps(contender))  # as it goes where its memory is measured
    contender.prepare(TEXTS)
    np.testing.assert_allclose(contender.run(), wanted, atol=1e-5)
    assert contender.tokens == sum(min(length + 2, 16) for length in LENGTHS)
    assert np.ptp(wanted, axis=0).min() > 1e-3  # the documents can be told apart


def test_stock_macs_are_those_computed_and_sorting_saves_some(model, tokenizer):
    counts, config = {}, model.config
    head = config.hidden_size**2 + config.hidden_size * config.num_labels
    for order in ("arrival", "sorted"):
        contender = StockContender(model, tokenizer, order=order, batch_size=2, max_length=16)
        contender.prepare(TEXTS)
        counter = FlopCounterMode(display=False)
        with counter, sdpa_kernel(SDPBackend.MATH):
            contender.run()
        counts[order] = contender.macs
        assert counts[order] == counter.get_total_flops() / 2 - len(TEXTS) * head
    assert counts["sorted"] < counts["arrival"]


@pytest.fixture(scope="module")
def saved(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_weights_that_transformers_do_not_load_are_refused_in_a_sentence(
    model, tokenizer, tmp_path
):
    """F15: `bench` on a directory of pytorch_model.bin alone ended in a traceback."""
    model.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors.*save the model again"):
        StockContender(tmp_path)


# One document is longer than 16 tokens.
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_packed_gives_the_stock_models_logits_and_counts_what_was_computed(model, saved, wanted):
    classifier = Classifier.from_pretrained(saved, max_length=16, batch_tokens=32)
    contender = PackedContender(classifier, "ours")
    contender.prepare(TEXTS)
    assert contender.macs is None
    assert np.abs(contender.run() - wanted).max() < 1e-5
    lengths = [min(16, length + 2) for length in LENGTHS]
    assert contender.tokens == sum(lengths)
    config = model.config
    linear = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    one_layer = sum(n * linear + 2 * config.hidden_size * n * n for n in lengths)
    assert contender.macs == config.num_hidden_layers * one_layer
    half = under_plan(classifier, preset("topk", keep=0.5, at=1, least=1))
    other = PackedContender(half, "half")
    other.prepare(TEXTS)
    np.testing.assert_array_equal(other.run(), half.logits(contender._encoded))
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(again.run(), other.run())
    assert 0 < other.macs < contender.macs and classifier.plan.is_dense


# What the counter finds outside the blocks: projections of the embeddings, and poolers.
OUTSIDE = ("embeddings_project", "pooler")


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_macs_are_those_of_torchs_counter(family):
    config = tiny_config(family)
    model = AutoModel.from_config(config).eval()
    ids = torch.randint(5, config.vocab_size, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        model(input_ids=ids, attention_mask=mask)
    counts = counter.get_flop_counts()
    outside = sum(
        sum(counts[name].values()) for name in counts if name.rpartition(".")[2] in OUTSIDE
    )
    assert padded_macs(config, [(3, 11)]) == (counter.get_total_flops() - outside) / 2
    assert padded_macs(config, [(2, 8), (1, 8)]) == 3 * padded_macs(config, [(1, 8)])
    assert padded_macs(AutoConfig.for_model("deberta-v2"), [(1, 8)]) is None
