"""Who teaches a plan: a model, given logits, the dense stage, or the model that it starts from."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError
from tersely.training import stages
from words import PLAIN, documents

QUICK = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)
HALF = {"method": "topk", "method_options": {"keep": 0.5}}


@pytest.fixture(scope="module")
def dense_folder(dense, tmp_path_factory):
    return dense.save(tmp_path_factory.mktemp("dense"))


@pytest.fixture
def seen(monkeypatch):
    """The teacher's logits with which each stage was trained."""
    calls = []
    original = stages.train_model

    def train_model(model, train, *args, **options):
        calls.append(train.teacher_logits)
        return original(model, train, *args, **options)

    monkeypatch.setattr(stages, "train_model", train_model)
    return calls


def test_a_model_that_is_fine_tuned_already_teaches_its_plan(dense, dense_folder, seen):
    student = Classifier(dense_folder, **HALF).fit(documents(), validation=0, settings=QUICK)
    (logits,) = seen
    assert np.array_equal(logits, dense.logits(documents().texts))
    assert student.training["teacher"] == "the model to start from"
    assert "dense_stage" not in student.training


def test_so_does_a_stock_classifier(encoder, dense, tmp_path, seen):
    from transformers import BertForSequenceClassification

    names = dict(enumerate(dense.classes_))
    stock = BertForSequenceClassification.from_pretrained(encoder, id2label=names).eval()
    stock.save_pretrained(tmp_path)
    dense.tokenizer.save_pretrained(tmp_path)
    student = Classifier(tmp_path, **HALF).fit(documents(), validation=0, settings=QUICK)
    (logits,) = seen
    expected = Classifier.from_pretrained(tmp_path).logits(documents().texts)
    assert np.array_equal(logits, expected)
    assert student.model.config.head == "family"


def test_the_dense_stage_teaches_where_the_head_is_new(encoder, seen):
    settings = replace(QUICK, dense_share=0.75)
    student = Classifier(encoder, **HALF).fit(documents(), validation=0, settings=settings)
    first, second = seen
    assert first is None and second.shape == (60, 3)
    assert student.training["teacher"] == "the dense stage"


@pytest.mark.parametrize(
    ("method", "asked", "share"),
    [("topk", None, 0), ("focus-pfc", None, 0.75), ("ltp", None, 0.75), ("topk", 0.5, 0.5)],
)
def test_a_dense_stage_comes_by_itself_where_something_new_is_learned(method, asked, share):
    assert replace(QUICK, dense_share=asked).for_plan(preset(method)).dense_share == share


@pytest.mark.parametrize("method", ["topk", "dense"])
def test_nobody_teaches_where_none_is_asked_for(dense_folder, seen, method):
    settings = replace(QUICK, distillation_weight=0) if method == "topk" else QUICK
    student = Classifier(dense_folder, method=method).fit(documents(), settings=settings)
    assert seen == [None] and student.training["teacher"] is None


def test_logits_that_are_given_are_those_of_the_training_documents(encoder, seen):
    logits = np.random.default_rng(0).normal(size=(60, 3))
    student = Classifier(encoder, **HALF)
    student.fit(documents(), validation=0.25, settings=QUICK, teacher=logits)
    taught = seen[-1]
    assert taught.dtype == np.float32 and taught.shape == (45, 3)
    # Each row is one of those given, in their order, and another one of each document.
    rows = [np.flatnonzero((logits.astype(np.float32) == row).all(1)).item() for row in taught]
    assert rows == sorted(set(rows))
    assert student.training["teacher"] == "given logits"


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((59, 3)), r"must be 60 documents by 3 labels, got .* \(59, 3\)"),
        (np.zeros((60, 2)), "by 3 labels"),
        (np.full((60, 3), np.nan), "must be finite numbers"),
    ],
)
def test_logits_of_other_documents_are_refused(encoder, logits, message):
    with pytest.raises(DataError, match=message):
        Classifier(encoder, **HALF).fit(documents(), settings=QUICK, teacher=logits)


def test_predictors_learn_without_validation(encoder):
    student = Classifier(encoder, method="adapler", method_options={"least": 1})
    student.fit(documents(), settings=replace(QUICK, patience=1))
    assert student.training["saliency_stage"]["settings"]["patience"] is None
    assert student.training["settings"]["patience"] == 1


def test_an_export_teaches(encoder, dense, seen):
    export = copy.copy(dense)
    export.model = None
    student = Classifier(encoder, **HALF)
    student.fit(documents(), validation=0, settings=QUICK, teacher=export)
    (logits,) = seen
    assert np.array_equal(logits, dense.logits(documents().texts))
    assert student.training["teacher"] == Path(dense.source).name
