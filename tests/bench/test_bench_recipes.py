"""Contenders by name: what a name says, what is fitted, who is left out and why."""

import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from bench_fakes import WORDS

from cascades import save_cascade, save_dense
from tersely import Classifier
from tersely.bench import Sources, make_contenders
from tersely.errors import DataError, PlanError
from tersely.modeling import from_encoder
from tersely.text import Documents, LabelSpace

TEXTS = [f"{WORDS[number % 2]} {WORDS[number % 7]} {WORDS[number % 5]}" for number in range(60)]
SINGLE = "single_label_classification"
LABELS = [("even", "odd")[number % 2] for number in range(60)]


@pytest.fixture(scope="module")
def dense(model, tokenizer, tmp_path_factory):
    """A dense tersely model with a mean head."""
    folder = tmp_path_factory.mktemp("dense")
    model.bert.save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    made = from_encoder(str(folder / "encoder"), id2label={0: "even", 1: "odd"})
    torch.nn.init.normal_(made.head.classifier.weight)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def sources(dense, tmp_path):
    return Sources(
        LabelSpace(("even", "odd"), SINGLE),
        folder=tmp_path,
        dense=str(dense),
        train=Documents.from_lists(TEXTS, LABELS),
        loading={"device": "cpu", "max_length": 16},
    )


def make(name, sources):
    (made,), skipped = make_contenders([name, name], sources)
    assert not skipped
    return made


def run(contender):
    contender.prepare(TEXTS)
    return contender.run()


def test_the_padded_form_gives_the_packed_models_logits(sources):
    wanted = run(make("dense", sources))
    for name in ("pipeline", "sorted:batch_size=7"):
        contender = make(name, sources)
        np.testing.assert_allclose(run(contender), wanted, atol=1e-5)
        assert contender.name == name
    assert np.ptp(wanted, axis=0).min() > 1e-3


def test_a_plan_is_put_on_the_dense_model_as_it_is(sources):
    dense = make("dense", sources)
    whole = make("topk:keep=1.0", sources)
    np.testing.assert_allclose(run(whole), run(dense), atol=1e-5)
    reduced = make("random:keep=0.25,at=1/2,least=1", sources)
    assert np.abs(run(reduced) - run(dense)).max() > 1e-3
    assert reduced.macs < dense.macs
    short = make("dense:max_length=3", sources)
    with pytest.warns(UserWarning, match="longer than 3"):
        short.prepare(TEXTS)
    assert short.tokens == 3 * len(TEXTS)


@pytest.mark.parametrize("names", [("even", "odd"), ("odd", "even")])
def test_a_linear_model_is_fitted_in_the_models_order_of_labels(sources, names):
    sources = replace(sources, space=LabelSpace(names, SINGLE))
    contender = make("tfidf", sources)
    logits = run(contender)
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(contender))), logits)
    assert (logits.argmax(1) == sources.space.encode(LABELS)).mean() > 0.9
    assert contender.training_seconds > 0
    contender.prepare(TEXTS[3:4])
    np.testing.assert_array_equal(contender.run(), logits[3:4])


@pytest.mark.slow
def test_onnx_gives_the_models_logits(sources):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    wanted = run(make("dense", sources))
    plain = make("onnx", sources)
    np.testing.assert_allclose(run(plain), wanted, atol=1e-4)
    plain = pickle.loads(pickle.dumps(plain))
    np.testing.assert_allclose(run(plain), wanted, atol=1e-4)
    eight = make("onnx-int8:batch_size=4", sources)
    assert 0 < np.abs(run(eight) - wanted).max() < 0.5
    assert plain.macs == eight.macs or plain.macs > 0


def test_what_an_optional_library_brings_is_left_out_without_it(sources, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    made, skipped = make_contenders(["tfidf", "dense", "tfidf"], sources)
    assert [each.name for each in made] == ["dense"] and list(skipped) == ["tfidf"]
    assert "pip install '.[train]'" in skipped["tfidf"]


NOTHING = {"dense": None, "train": None}
REFUSED = [
    ("unheard-of", {}, DataError, "contender out of pipeline"),
    ("pipeline:speed=9", {}, DataError, "'speed' is not an option"),
    ("topk:kept=0.5", {}, PlanError, "'kept' is not an option"),
    ("topk:keep=0.5,often", {}, DataError, "KEY=VALUE"),
    ("focus-pfc", {}, PlanError, "built for the plan 'dense'"),
    ("no_such_module:Thing", {}, DataError, "a module and a class in it"),
    ("tersely.bench:TextContender", {}, DataError, "scores.*complete the class"),
    ("pipeline:batch_size=0", {}, DataError, "batch_size must be a whole number of at least 1"),
    ("pipeline", NOTHING, DataError, "there is none"),
    ("tfidf", NOTHING, DataError, "no training documents"),
    ("tfidf", {"space": LabelSpace(("a", "even", "odd"), SINGLE)}, DataError, "lack 'a'"),
    ("tfidf", {"space": LabelSpace(("even", "other"), SINGLE)}, DataError, "hold 'odd'"),
]


@pytest.mark.parametrize(("name", "changes", "error", "message"), REFUSED)
def test_what_cannot_be_made_is_refused(sources, name, changes, error, message):
    with pytest.raises(error, match=message):
        make_contenders([name], replace(sources, **changes))


def test_of_a_cascade_the_encoder_alone_is_compared(tmp_path):
    cascade = save_cascade(save_dense(tmp_path / "dense"), tmp_path / "cascade")
    whole = Classifier.from_pretrained(cascade)
    loading = {"device": "cpu", "max_length": None}
    sources = Sources(whole.label_space, tmp_path, dense=str(cascade), loading=loading)
    for made in make_contenders(["dense", "topk"], sources)[0]:
        assert made.classifier.model_config.cascade is None
    assert whole.model_config.cascade is not None
