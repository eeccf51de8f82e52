"""Stock and packed contenders give the model's own logits, in the order of the texts."""

import warnings

import numpy as np
import pytest
import torch
from bench_fakes import WORDS, AllocatingContender
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tersely import Classifier
from tersely.bench import PackedContender, Rebuildable, StockContender, build_contender
from tersely.errors import DataError, TerselyWarning

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
    contender = StockContender(
        model, tokenizer, order=order, batch_size=batch_size, max_length=16, threads=1
    )
    contender.prepare(TEXTS)
    threads = torch.get_num_threads()
    np.testing.assert_allclose(contender.run(), wanted, atol=1e-5)
    for index in (0, 4):
        np.testing.assert_allclose(contender.run_one(index), wanted[[index]], atol=1e-5)
    assert contender.tokens == sum(min(length + 2, 16) for length in LENGTHS)
    assert torch.get_num_threads() == threads
    assert np.ptp(wanted, axis=0).min() > 1e-3  # the documents can be told apart


def test_stock_macs_are_those_computed_and_sorting_saves_some(model, tokenizer):
    counts = {}
    for order in ("arrival", "sorted"):
        contender = StockContender(model, tokenizer, order=order, batch_size=2, max_length=16)
        contender.prepare(TEXTS)
        counter = FlopCounterMode(display=False)
        with counter, sdpa_kernel(SDPBackend.MATH):
            contender.run()
        config = model.config
        head = config.hidden_size**2 + config.hidden_size * config.num_labels
        counts[order] = contender.macs
        assert counts[order] == counter.get_total_flops() / 2 - len(TEXTS) * head
    assert counts["sorted"] < counts["arrival"]


def test_stock_is_built_again_from_its_spec(model, tokenizer, wanted, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    first = StockContender(tmp_path, name="stock", order="sorted", max_length=16)
    again = build_contender(first.spec())
    again.prepare(TEXTS)
    assert (again.name, again.options) == (first.name, first.options)
    np.testing.assert_allclose(again.run(), wanted, atol=1e-5)


def test_objects_cannot_be_built_again(model, tokenizer):
    assert isinstance(StockContender(model, tokenizer), Rebuildable)
    assert StockContender(model, tokenizer).spec() is None
    assert PackedContender(None).spec() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"order": "random"}, "arrival or sorted"), ({"tokenizer": None}, "a tokenizer beside")],
)
def test_stock_refuses_what_it_cannot_do(model, tokenizer, arguments, message):
    with pytest.raises(DataError, match=message):
        StockContender(model, **{"tokenizer": tokenizer, **arguments})


@pytest.mark.parametrize("kind", ["unheard of", "absent_module:Class", "json:dumps", None])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(DataError, match="a contender's kind out of"):
        build_contender({"kind": kind})


def test_a_kind_may_name_its_class():
    spec = AllocatingContender("far away", 1, 2).spec()
    assert build_contender(spec).spec() == spec


def test_packed_gives_the_stock_models_logits_and_counts_what_was_computed(
    model, tokenizer, wanted, tmp_path
):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    source = {"source": str(tmp_path), "max_length": 16, "batch_tokens": 32}
    classifier = Classifier.from_pretrained(**source)
    contender = PackedContender(classifier, "ours", source=source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)  # one document is longer than 16 tokens
        contender.prepare(TEXTS)
        assert contender.macs is None
        assert np.abs(contender.run() - wanted).max() < 1e-5
        assert np.abs(contender.run_one(4) - wanted[4]).max() < 1e-5
    lengths = [min(16, length + 2) for length in LENGTHS]
    assert contender.tokens == sum(lengths)
    config = model.config
    linear = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    one_layer = sum(n * linear + 2 * config.hidden_size * n * n for n in lengths)
    assert contender.macs == config.num_hidden_layers * one_layer
    assert build_contender(contender.spec()).spec() == contender.spec()
