"""Who teaches a plan: a model, given logits, the dense stage, or the model that it starts from."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import DataError, ModelError, TrainingError
from tersely.modeling import TerselyForSequenceClassification, with_plan
from tersely.modeling.inference import run_model
from tersely.training import stages
from tersely.training.fit import gather
from words import PLAIN, documents, quiet, save_encoder

QUICK = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)
HALF = {"method": "topk", "method_options": {"keep": 0.5}}


@pytest.fixture(scope="module")
def dense_folder(dense, tmp_path_factory):
    return dense.save(tmp_path_factory.mktemp("dense"))


@pytest.fixture
def seen(monkeypatch):
    """The teacher's logits, and the teacher model, with which each stage was trained."""
    calls = []
    original = stages.train_model

    def train_model(model, train, *args, **options):
        calls.append((train.teacher_logits, options.get("teacher")))
        return original(model, train, *args, **options)

    monkeypatch.setattr(stages, "train_model", train_model)
    return calls


def test_a_model_that_is_fine_tuned_already_teaches_its_plan(dense, dense_folder, seen):
    student = Classifier(dense_folder, **HALF).fit(documents(), validation=0, settings=QUICK)
    ((logits, _),) = seen
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
    ((logits, _),) = seen
    expected = Classifier.from_pretrained(tmp_path).logits(documents().texts)
    assert np.array_equal(logits, expected)
    assert student.model.config.head == "family"


def test_the_dense_stage_teaches_where_the_head_is_new(encoder, seen):
    settings = replace(QUICK, dense_share=0.75)
    student = Classifier(encoder, **HALF).fit(documents(), validation=0, settings=settings)
    (first, _), (second, _) = seen
    assert first is None and second.shape == (60, 3)
    assert student.training["teacher"] == "the dense stage"


@pytest.mark.parametrize(
    ("method", "asked", "share"),
    [("topk", None, 0), ("focus-pfc", None, 0.75), ("ltp", None, 0.75), ("topk", 0.5, 0.5)],
)
def test_a_dense_stage_comes_by_itself_where_something_new_is_learned(method, asked, share):
    assert replace(QUICK, dense_share=asked).for_plan(preset(method)).dense_share == share
    if asked is None:
        hidden = replace(QUICK, dense_share=None, hidden_distillation=0.5)
        assert hidden.for_plan(preset(method)).dense_share == 0.75


@pytest.mark.parametrize("method", ["topk", "dense"])
def test_nobody_teaches_where_none_is_asked_for(dense_folder, seen, method):
    settings = replace(QUICK, distillation_weight=0) if method == "topk" else QUICK
    student = Classifier(dense_folder, method=method).fit(documents(), settings=settings)
    assert seen == [(None, None)] and student.training["teacher"] is None


def test_logits_that_are_given_are_those_of_the_training_documents(encoder, seen):
    logits = np.random.default_rng(0).normal(size=(60, 3))
    student = Classifier(encoder, **HALF)
    student.fit(documents(), validation=0.25, settings=QUICK, teacher=logits)
    taught = seen[-1][0]
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


def test_the_distance_of_hidden_states_takes_part_in_the_loss(dense, make_trainer):
    model = quiet(with_plan(dense.model, preset("topk", least=1, keep=0.5, at=1)))
    teacher = with_plan(dense.model, preset("dense"))
    with torch.no_grad():
        teacher.encoder.embeddings.word_embeddings.weight.add_(0.05)  # a teacher of its own
    numbers = [0, 5, 9]
    settings = replace(QUICK, hidden_distillation=0.5)
    trainer, train = make_trainer(model, settings, teacher=teacher)
    got = trainer.compute_loss(model, train.collate(numbers))

    loss = model(**train.collate(numbers)).loss
    distances = []
    for number in numbers:
        window = torch.from_numpy(train.encoded.windows[number].astype(np.int64))[None]
        whole = teacher.encoder(window).last_hidden_state[0]
        output = model(window, output_trace=True, output_final=True)
        alive = output.trace.blocks[-1].alive.values
        assert len(alive) == len(window[0]) // 2
        distances.append((output.final.hidden - whole[alive]).square().mean())
    expected = (loss + 0.5 * torch.stack(distances).mean()) * 3 / trainer.documents_per_step
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    assert distances[0] > 0
    got.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_dense_stage_runs_alongside(encoder, seen):
    settings = replace(QUICK, hidden_distillation=0.5)
    data = documents()
    student = Classifier(encoder, **HALF).fit(data, validation=0, settings=settings)
    (_, nobody), (logits, teacher) = seen
    assert nobody is None and isinstance(teacher, TerselyForSequenceClassification)
    assert teacher.config.reduction_plan().is_dense
    assert np.array_equal(run_model(teacher, student.encode(data.texts), 4096).logits, logits)
    assert student.model.encoder is not teacher.encoder


def test_predictors_learn_without_validation_and_without_hidden_states(encoder, seen):
    settings = replace(QUICK, patience=1, hidden_distillation=0.5)
    student = Classifier(encoder, method="adapler", method_options={"least": 1})
    student.fit(documents(), settings=settings)
    _, (_, lesson), (_, teacher) = seen
    assert lesson is None and teacher is not None
    asked = student.training["saliency_stage"]["settings"]
    assert asked["patience"] is None and asked["hidden_distillation"] == 0
    assert student.training["settings"]["patience"] == 1


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("focus-c", "model", "plan that combines tokens, since none .* survives 'focus-c'"),
        ("dense", None, "needs a teacher model that runs alongside, got none"),
        ("topk", "reduced", "needs a dense teacher, .* got one under 'topk'"),
        ("topk", "wide", "needs a teacher of the same width, 32, got one of 16"),
    ],
)
def test_hidden_states_that_cannot_be_compared_are_refused(
    encoder, dense, tmp_path, method, given, message
):
    teacher = None
    if given == "model":
        teacher = dense
    elif given == "reduced":
        teacher = Classifier(encoder, **HALF).fit(documents(), settings=QUICK)
    elif given == "wide":
        other = save_encoder(tmp_path, hidden_size=16, num_hidden_layers=2)
        teacher = Classifier(other, method="dense").fit(documents(), settings=QUICK)
    settings = replace(QUICK, hidden_distillation=0.5)
    with pytest.raises(TrainingError, match=message):
        Classifier(encoder, method=method).fit(documents(), settings=settings, teacher=teacher)


def test_an_export_teaches_by_its_logits_alone(encoder, dense, seen):
    export = copy.copy(dense)
    export.model = None
    Classifier(encoder, **HALF).fit(documents(), validation=0, settings=QUICK, teacher=export)
    ((logits, teacher),) = seen
    assert np.array_equal(logits, dense.logits(documents().texts)) and teacher is None
    settings = replace(QUICK, hidden_distillation=0.5)
    with pytest.raises(ModelError, match="is an export, which holds no model of torch"):
        Classifier(encoder, **HALF).fit(documents(), settings=settings, teacher=export)


def test_a_teacher_stays_where_it_was(dense):
    given = gather(documents(), None, None, teacher=dense)
    train, _ = given.encoded(dense)
    hidden = replace(QUICK, hidden_distillation=0.5)
    guide, _ = given.taught(train, hidden, torch.device("meta"))
    assert guide.device.type == "meta" and dense.model.device.type == "cpu"
    guide, name = given.taught(train, hidden, dense.model.device)
    assert guide is dense.model and name == Path(dense.source).name
    assert given.taught(train, QUICK, dense.model.device)[0] is None
