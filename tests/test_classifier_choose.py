"""A classifier that chooses its tokens fits its linear stage by itself, and is loaded with it."""

from dataclasses import replace

import pytest
import torch

from tersely import Classifier
from tersely.errors import ModelError, TrainingError
from tersely.explain.document import explain_document
from tersely.reduction.scorers import saliency
from tersely.text.batching import pack
from tersely.training.settings import TrainingSettings
from tersely.training.stages import StagedTraining
from words import PLAIN, labelled, quiet

QUICK = TrainingSettings(epochs=1, batch_tokens=512, **PLAIN)


CHOICES = {
    "choose": {"method": "choose", "method_options": {"keep": 0.4}},
    "select": {"long": "select", "max_length": 16},
    "select-sentence": {"long": "select-sentence", "max_length": 16},
}


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@pytest.mark.parametrize("choice", CHOICES)
def test_a_documents_own_label_chooses_nothing_and_the_linear_stage_is_loaded_with_the_model(
    encoder, tmp_path, monkeypatch, choice
):
    seen, run = [], StagedTraining.run
    monkeypatch.setattr(
        StagedTraining, "run", lambda self, *args: seen.append(args) or run(self, *args)
    )
    texts, labels = labelled(30, words=40)
    classifier = Classifier(encoder, device="cpu", **CHOICES[choice])
    classifier.fit(texts, labels, settings=QUICK)
    model, train, held_out = seen[0]
    table = model.linear.piece_scores()
    pieces = list(zip(train.encoded.windows, train.piece_scores, strict=True))
    assert [len(window) for window, _ in pieces] == [len(scores) for _, scores in pieces]
    assert any((table[window] != scores).any() for window, scores in pieces)
    assert held_out.piece_scores is None

    loaded = Classifier.from_pretrained(classifier.save(tmp_path), device="cpu")
    assert loaded.torch_model().linear.form.classes == 3
    assert loaded.predict_proba(texts).tolist() == classifier.predict_proba(texts).tolist()
    tokens = [token for word in explain_document(loaded, texts[0]).words for token in word.tokens]
    assert sum(token.read for token in tokens) == len(loaded.encode(texts[:1]).windows[0]) - 2


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_a_model_without_a_linear_stage_cannot_select(encoder):
    texts, labels = labelled(30, words=40)
    dense = Classifier(encoder, method="dense", device="cpu").fit(texts, labels, settings=QUICK)
    dense.model.config.long = "select"
    with pytest.raises(ModelError, match="long='select' needs a linear stage"):
        dense.predict(texts)


SALIENCY = {"method": "choose", "method_options": {"score": "saliency", "keep": 0.4, "least": 1}}
NO_EPOCHS = replace(QUICK, epochs=0, batch_documents=2)


def test_with_no_epochs_a_dense_model_is_only_told_what_to_read(dense, tmp_path):
    texts, labels = labelled(150)
    classifier = Classifier(dense, device="cpu", **SALIENCY)
    classifier.fit(texts, labels, settings=NO_EPOCHS, validation=0, cascade="off")
    start = Classifier.from_pretrained(dense, device="cpu").model
    learned = classifier.model.state_dict()
    assert all(torch.equal(learned[name], tensor) for name, tensor in start.state_dict().items())
    loaded = Classifier.from_pretrained(classifier.save(tmp_path), device="cpu")
    assert loaded.predict_proba(texts).tolist() == classifier.predict_proba(texts).tolist()

    inputs = pack(classifier.encode(texts), range(len(texts)))
    numbers = torch.from_numpy(classifier.label_space.encode(labels))
    told = {"token_targets": saliency(start, inputs, numbers)[None]}
    model = quiet(classifier.model.under_plan(classifier.plan.stages()[0].plan))
    lesson = model(**inputs, **told).penalty
    model.learned["input"]["score"].start()
    assert lesson < 0.9 * model(**inputs, **told).penalty


def test_without_a_dense_model_there_have_to_be_epochs(encoder):
    how = {"settings": NO_EPOCHS, "cascade": "off"}
    with pytest.raises(TrainingError, match="a dense_share of 0.75, 'choose' needs"):
        Classifier(encoder, device="cpu", **SALIENCY).fit(*labelled(30), **how)
    with pytest.raises(TrainingError, match="with 0 epochs and a dense_share of 0, 'topk' needs"):
        Classifier(encoder, method="topk", device="cpu").fit(*labelled(30), **how)


def test_it_is_trained_under_the_saliency_of_its_dense_stage(encoder):
    classifier = Classifier(encoder, device="cpu", **SALIENCY)
    record = classifier.fit(*labelled(30), settings=QUICK, cascade="off").training
    assert {"dense_stage", "saliency_stage"} <= record.keys()
    assert record["teacher"] == "the dense stage"
