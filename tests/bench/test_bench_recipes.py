"""Contenders by name: what a name says, what is fitted once and kept, who is left out and why."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_fakes import WORDS

from tersely import TrainingSettings
from tersely.bench import RECIPES, ModelCache, make_contender, make_contenders
from tersely.bench.linear import TfidfContender
from tersely.bench.model_cache import _identity, code_fingerprint
from tersely.bench.recipes import Skipped
from tersely.errors import DataError, OutputError, PlanError
from tersely.modeling import from_encoder
from tersely.text import Documents, LabelSpace
from words import PLAIN

TEXTS = [f"{WORDS[number % 2]} {WORDS[number % 7]} {WORDS[number % 5]}" for number in range(60)]
LABELS = [("even", "odd")[number % 2] for number in range(60)]


@pytest.fixture(scope="module")
def encoder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    model.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dense(encoder, tokenizer, tmp_path_factory):
    """A dense tersely model with a mean head."""
    folder = tmp_path_factory.mktemp("dense")
    torch.manual_seed(0)
    made = from_encoder(str(encoder), id2label={0: "even", 1: "odd"})
    torch.nn.init.normal_(made.head.classifier.weight)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def cache(dense, encoder, tmp_path):
    told = []
    made = ModelCache(
        space=LabelSpace(("even", "odd"), "single_label_classification"),
        train=Documents.from_lists(TEXTS, LABELS),
        encoder=str(encoder),
        dense=str(dense),
        options={"device": "cpu", "max_length": 16},
        folder=tmp_path,
        tell=told.append,
    )
    made.told = told
    return made


def run(contender):
    contender.prepare(TEXTS)
    return contender.run()


def test_the_padded_form_gives_the_packed_models_logits(cache):
    wanted = run(make_contender("dense", cache))
    for name in ("pipeline", "sorted:batch_size=7"):
        contender = make_contender(name, cache)
        np.testing.assert_allclose(run(contender), wanted, atol=1e-5)
        assert contender.name == name
    assert np.ptp(wanted, axis=0).min() > 1e-3


def test_a_plan_is_put_on_the_dense_model_as_it_is(cache):
    dense = run(make_contender("dense", cache))
    whole = make_contender("topk:keep=1.0,trained=no", cache)
    np.testing.assert_allclose(run(whole), dense, atol=1e-5)
    reduced = make_contender("random:keep=0.25,at=1/2,least=1,trained=no", cache)
    assert np.abs(run(reduced) - dense).max() > 1e-3
    assert reduced.tokens_by_block[-1] < reduced.tokens
    short = make_contender("dense:max_length=3,trained=no", cache)
    with pytest.warns(UserWarning, match="longer than 3"):
        short.prepare(TEXTS)
    assert short.tokens == 3 * len(TEXTS)


def test_a_linear_model_is_fitted_once_and_kept(cache):
    contender = make_contender("tfidf", cache)
    logits = run(contender)
    labels = cache.space.encode(LABELS)
    assert (logits.argmax(1) == labels).mean() > 0.9
    assert contender.training_seconds > 0 and len(cache.told) == 2
    np.testing.assert_array_equal(run(make_contender("tfidf", cache)), logits)
    assert len(cache.told) == 2
    np.testing.assert_array_equal(contender.run_one(3), logits[3:4])
    cache.train = Documents.from_lists(TEXTS[:50], LABELS[:50])
    make_contender("tfidf", cache)
    assert len(cache.told) == 4


def test_what_is_trained_is_kept_with_its_time(cache):
    cache = replace(
        cache, settings=TrainingSettings(epochs=2, learning_rate=1e-3, **PLAIN), dense=None
    )
    first = make_contender("truncate:keep=0.5", cache)
    assert first.training_seconds > 0
    again = make_contender("truncate:keep=0.5", cache)
    assert again.training_seconds == first.training_seconds
    np.testing.assert_array_equal(run(again), run(first))
    assert len(cache.tell.__self__) == 2


@pytest.mark.parametrize("name", ["truncate:keep=0.9", "pipeline", "tfidf"])
def test_what_is_trained_has_the_models_order_of_labels(cache, name):
    """A model may tell ("odd", "even") apart; `fit` alone would sort the names."""
    space = LabelSpace(("odd", "even"), "single_label_classification")
    settings = TrainingSettings(epochs=6, learning_rate=3e-3, batch_tokens=256, **PLAIN)
    cache = replace(cache, space=space, settings=settings, dense=None)
    contender = make_contender(name, cache)
    wanted = space.encode(LABELS)
    assert (run(contender).argmax(1) == wanted).mean() > 0.7
    if name.startswith("truncate"):
        assert contender.classifier.classes_ == ["odd", "even"]


@pytest.mark.parametrize("name", ["tfidf", "truncate:keep=0.9"])
@pytest.mark.parametrize(
    ("names", "message"), [(("a", "even", "odd"), "lack 'a'"), (("even", "other"), "hold 'odd'")]
)
def test_training_documents_of_other_classes_are_refused(cache, name, names, message):
    cache.space = LabelSpace(names, "single_label_classification")
    with pytest.raises(DataError, match=message):
        make_contender(name, cache)


def test_a_linear_model_needs_every_class():
    contender = TfidfContender("single_label_classification", "tfidf")
    with pytest.raises(DataError, match="none of 0"):
        contender.fit(TEXTS[:4], np.array([1, 2, 1, 2]))
    several = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], np.float32)
    with pytest.raises(DataError, match="none of 1"):
        contender.fit(TEXTS[:4], several)


def test_limits_do_not_stay_in_what_is_kept(cache):
    """A plan on the dense model is kept under its name alone, so it holds no limit of one call."""
    name = "topk:keep=0.5,at=1,trained=no"
    assert make_contender(name, cache).classifier.limit == 16
    cache.options = {"device": "cpu", "long": "windows"}
    again = make_contender(name, cache).classifier
    assert again.limit == 64 and again.model_config.long == "windows"
    assert len(cache.told) == 2


def test_two_comparisons_at_once_leave_each_others_work_alone(cache):
    def slower(folder):
        (folder / "mine").write_text("slower")
        cache.kept("other", {"form": "x"}, lambda part: (part / "mine").write_text("faster"))
        assert (folder / "mine").read_text() == "slower"

    folder, _ = cache.kept("one", {"form": "x"}, slower)
    assert (folder / "mine").read_text() == "faster"
    assert [each.name for each in cache.folder.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_made_is_said(cache, tmp_path):
    (tmp_path / "file").write_text("")
    cache.folder = tmp_path / "file" / "cache"
    with pytest.raises(OutputError, match="cannot be kept in"):
        make_contender("tfidf", cache)


def test_another_tokenizer_is_another_model(cache, dense, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dense, copy)
    (copy / "notes").mkdir()
    (copy / "training.json").write_text("{}")
    assert _identity(str(copy)) == _identity(str(dense))
    text = (copy / "tokenizer.json").read_text()
    (copy / "tokenizer.json").write_text(text.replace(WORDS[0], "other"))
    assert _identity(str(copy)) != _identity(str(dense))


@pytest.mark.slow
def test_onnx_gives_the_models_logits(cache):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    wanted = run(make_contender("dense", cache))
    plain = make_contender("onnx", cache)
    np.testing.assert_allclose(run(plain), wanted, atol=1e-4)
    np.testing.assert_allclose(plain.run_one(5), wanted[5:6], atol=1e-4)
    eight = make_contender("onnx-int8:batch_size=4", cache)
    assert 0 < np.abs(run(eight) - wanted).max() < 0.5
    assert plain.macs == eight.macs or plain.macs > 0


def test_what_an_optional_library_brings_is_left_out_without_it(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(Skipped, match=r"pip install '\.\[bench\]'"):
        make_contender("static", cache)
    made, skipped = make_contenders(["static", "dense", "static"], cache)
    assert [each.name for each in made] == ["dense"] and list(skipped) == ["static"]


def test_static_is_left_out_where_its_encoder_cannot_be_read(cache, tmp_path):
    """It ended the comparison, minutes after it had begun, for want of a tokenizer."""
    pytest.importorskip("model2vec")
    cache.encoder = str(tmp_path / "nowhere")
    with pytest.raises(Skipped, match="encoder cannot be read"):
        make_contender("static", cache)


def test_static_is_distilled_from_the_dense_model_where_no_encoder_is_named(cache):
    pytest.importorskip("model2vec")
    cache.encoder = None
    logits = run(make_contender("static", cache))
    assert (logits.argmax(1) == cache.space.encode(LABELS)).mean() > 0.7


def test_other_code_makes_another_model(cache, tmp_path, monkeypatch):
    """Review 11: the key was the version, "0.1.0", and a number raised by hand."""
    (tmp_path / "a.py").write_text("x = 1")
    before = code_fingerprint(tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    code_fingerprint.cache_clear()
    assert code_fingerprint(tmp_path) != before
    make_contender("tfidf", cache)
    monkeypatch.setattr("tersely.bench.model_cache.code_fingerprint", lambda: "other")
    make_contender("tfidf", cache)
    assert len(cache.told) == 4


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unheard-of", DataError, "contender out of pipeline"),
        ("pipeline:speed=9", DataError, "'speed' is not an option"),
        ("topk:kept=0.5", PlanError, "'kept' is not an option"),
        ("topk:keep=0.5,often", DataError, "KEY=VALUE"),
        ("no_such_module:Thing", DataError, "a module and a class in it"),
        ("tersely.bench:TextContender", DataError, "scores.*complete the class"),
        ("topk:target=0.5,trained=no", DataError, "target needs training"),
        ("pipeline:batch_size=0", DataError, "batch_size must be a whole number of at least 1"),
    ],
)
def test_names_that_mean_nothing_are_refused(cache, name, error, message):
    with pytest.raises(error, match=message):
        make_contender(name, cache)


def test_every_recipe_is_in_the_page():
    page = (Path(__file__).parents[2] / "docs" / "bench.md").read_text("utf-8")
    for name in RECIPES:
        assert f"`{name}`" in page
