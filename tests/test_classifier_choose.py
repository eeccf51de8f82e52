"""A classifier that chooses its tokens fits its linear stage by itself, and is loaded with it."""

import pytest

from tersely import Classifier
from tersely.errors import ModelError
from tersely.explain.document import explain_document
from tersely.training.settings import TrainingSettings
from tersely.training.stages import StagedTraining
from words import PLAIN, labelled

QUICK = TrainingSettings(epochs=1, batch_tokens=512, **PLAIN)


CHOICES = pytest.mark.parametrize(
    "options",
    [{"method": "choose", "method_options": {"keep": 0.4}}, {"long": "select", "max_length": 16}],
    ids=["choose", "select"],
)


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@CHOICES
def test_in_training_a_documents_own_label_chooses_nothing(encoder, monkeypatch, options):
    seen, run = [], StagedTraining.run
    monkeypatch.setattr(
        StagedTraining, "run", lambda self, *args: seen.append(args) or run(self, *args)
    )
    texts, labels = labelled(30, words=40)
    Classifier(encoder, device="cpu", **options).fit(texts, labels, settings=QUICK)
    model, train, held_out, _ = seen[0]
    table = model.linear.piece_scores()
    pieces = list(zip(train.encoded.windows, train.piece_scores, strict=True))
    assert [len(window) for window, _ in pieces] == [len(scores) for _, scores in pieces]
    assert any((table[window] != scores).any() for window, scores in pieces)
    assert held_out.piece_scores is None


@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@CHOICES
def test_it_fits_its_linear_stage_and_is_loaded_with_it(encoder, tmp_path, options):
    texts, labels = labelled(30, words=40)
    classifier = Classifier(encoder, device="cpu", **options).fit(texts, labels, settings=QUICK)
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
    with pytest.raises(ModelError, match="chooses tokens by a linear stage"):
        dense.predict(texts)
