"""The classifier that users hold: predict, evaluate, save, long documents, kinds of labels."""

import numpy as np
import pytest
import torch

from tersely import Classifier, TrainingSettings
from tersely.errors import DataError, DeviceError, ModelError, TerselyWarning, TrainingError
from tersely.text import Documents
from tersely.training.stages import StagedTraining
from words import LABELS, labelled

QUICK = TrainingSettings(epochs=1, learning_rate=5e-3, batch_tokens=256)


@pytest.fixture(scope="module")
def classifier(encoder):
    return Classifier(encoder).fit(*labelled(60), settings=QUICK)


def test_saved_and_loaded_it_predicts_the_same(classifier, tmp_path):
    texts, _ = labelled(9, seed=2)
    loaded = Classifier.from_pretrained(classifier.save(tmp_path / "model"), threads=2)
    assert np.array_equal(loaded.logits(texts), classifier.logits(texts))
    assert loaded.plan == classifier.plan
    assert loaded.threads == 2
    assert not list((tmp_path / "model").glob("*.bin"))
    shares = loaded.predict_proba(texts)
    assert np.allclose(shares.sum(1), 1, atol=1e-6) and list(loaded.classes_) == list(LABELS)
    assert list(loaded.predict(texts)) == [LABELS[number] for number in shares.argmax(1)]


def test_a_record_of_training_stays_with_its_model(classifier, encoder, tmp_path):
    record = classifier.save(tmp_path / "model") / "training.json"
    Classifier.from_pretrained(tmp_path / "model").save(tmp_path / "model")
    assert record.exists()
    other = Classifier.from_pretrained(classifier.save(tmp_path / "other"))
    other.save(tmp_path / "model")
    assert not record.exists()


def test_only_the_checkpoints_of_the_run_go_with_the_save(encoder, tmp_path):
    mine = tmp_path / "checkpoints" / "mine" / "weights.bin"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    trained = Classifier(encoder).fit(*labelled(30), settings=QUICK, out=tmp_path)
    assert len(list(mine.parents[1].iterdir())) > 1
    trained.save(tmp_path)
    assert list(mine.parents[1].iterdir()) == [mine.parent] and mine.read_text() == "mine"
    mine.unlink()
    mine.parent.rmdir()
    trained.fit(*labelled(30), settings=QUICK, out=tmp_path).save(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def _failing(*args, **options):
    raise TrainingError("the loss became nan")


def test_a_fit_that_fails_leaves_the_classifier_as_it_was(encoder, tmp_path, monkeypatch):
    classifier, (texts, labels), run = Classifier(encoder), labelled(40), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(StagedTraining, "run", _failing)
        with pytest.raises(TrainingError, match="nan"):
            classifier.fit(texts, labels, settings=QUICK)
    with pytest.raises(ModelError, match="not trained yet"):
        classifier.predict(["cat"])
    before = classifier.fit(texts, labels, settings=QUICK).logits(texts)
    monkeypatch.setattr(StagedTraining, "run", _failing)
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(TrainingError, match="nan"):
        classifier.fit(texts, ["other" + label for label in labels], settings=QUICK, out=run)
    assert list(classifier.classes_) == list(LABELS)
    assert np.array_equal(classifier.logits(texts), before)
    # What the failed run leaves to be resumed is not the saved model's.
    classifier.save(tmp_path / "model")
    assert (run / "checkpoints").is_dir()


def test_it_cannot_start_from_a_model_that_removes_tokens(encoder, tmp_path):
    Classifier(encoder, method="topk").fit(*labelled(60), settings=QUICK).save(tmp_path)
    with pytest.raises(ModelError, match="from a model without token reduction"):
        Classifier(tmp_path).fit(*labelled(40), settings=QUICK)
    # Unless it was trained to read everything as well.
    Classifier(encoder, method="lat").fit(*labelled(60), settings=QUICK).save(tmp_path / "any")
    assert Classifier(tmp_path / "any").fit(*labelled(40), settings=QUICK).plan.is_dense


@pytest.mark.parametrize("policy", ["truncate", "head-tail", "windows"])
def test_long_documents_are_counted_and_kept_in_the_configuration(encoder, tmp_path, policy):
    texts, labels = labelled(30, words=100, seed=1)
    classifier = Classifier(encoder, max_length=16, long=policy)
    with pytest.warns(TerselyWarning, match="documents are longer than 16 tokens") as said:
        classifier.fit(texts, labels, settings=QUICK)
    assert len(said) == 1
    assert ("times the tokens" in str(said[0].message)) == (policy == "windows")
    loaded = Classifier.from_pretrained(classifier.save(tmp_path))
    with pytest.warns(TerselyWarning, match="longer than 16 tokens"):
        assert len(loaded.predict(texts)) == 30
    assert loaded.model.config.long == policy
    # Journeys: nobody said that an evaluation reads otherwise than training did.
    for long in ("truncate", "windows"):
        with pytest.warns(TerselyWarning, match="longer than") as said:
            Classifier.from_pretrained(tmp_path, long=long).predict(texts)
        told = f"; the model was saved to read them by '{policy}'" in str(said[0].message)
        assert told == (long != policy)


def test_a_limit_above_the_encoders_is_said_once(classifier, encoder, tmp_path):
    saved = classifier.save(tmp_path)
    for act in (
        lambda: Classifier.from_pretrained(saved, max_length=1000).predict(["cat"]),
        lambda: Classifier(encoder, max_length=1000).fit(*labelled(30), settings=QUICK),
    ):
        with pytest.warns(TerselyWarning, match="1,000, .* model takes at most 64") as said:
            act()
        assert len(said) == 1 and said[0].filename == __file__


def test_what_is_no_text_is_refused_as_in_training(classifier):
    with pytest.raises(DataError, match=r"text in every row, .* holds None in 1 row \(2\)"):
        classifier.predict(["cat", None])
    with pytest.raises(DataError, match="second texts must hold text in every row"):
        classifier.encode(["cat"], [None])


def test_windows_are_averaged(classifier, tmp_path):
    text = labelled(1, words=80, seed=5)[0][0] + " cat" * 40
    saved = classifier.save(tmp_path)
    loaded = Classifier.from_pretrained(saved, max_length=20, long="windows")
    encoded = loaded.encode([text], tell=False)
    parts = [torch.from_numpy(w.astype(np.int64))[None] for w in encoded.windows]
    with torch.no_grad():
        each = torch.cat([loaded.model(part).logits for part in parts])
    assert len(parts) > 2
    assert np.abs(loaded.logits(encoded) - each.mean(0, keepdim=True).numpy()).max() < 1e-5


def test_labels_that_training_never_saw_are_counted_as_errors(classifier):
    """F3: where no label is known, a figure of 0 says nothing about the model."""
    assert classifier.evaluate(classifier.validation).documents == 6
    data = Documents.from_lists(["cat", "rain"], ["animals", "politics"])
    with pytest.warns(TerselyWarning, match="politics"):
        assert classifier.evaluate(data)["accuracy"] <= 0.5
    with pytest.raises(DataError, match="'Animals', 'politics'.*knows 'animals', 'music', 'weath"):
        classifier.evaluate(Documents.from_lists(["cat", "rain"], ["Animals", "politics"]))


def test_labels_come_in_the_order_that_is_asked_for(encoder, tmp_path):
    texts, labels = labelled(40)
    order = ["weather", "nothing yet", "animals", "music"]
    classifier = Classifier(encoder, method="dense")
    classifier.fit(texts, labels, settings=QUICK, classes=order)
    assert list(Classifier.from_pretrained(classifier.save(tmp_path)).classes_) == order
    with pytest.raises(DataError, match="classes must name all labels .*which lacks 'music'"):
        classifier.fit(texts, labels, classes=order[:3])
    with pytest.raises(DataError, match="the teacher tells 4 labels apart"):
        Classifier(encoder).fit(texts, labels, teacher=classifier)


def test_wrong_uses_are_said(encoder):
    for call, error, message in (
        (lambda: Classifier(encoder).predict(["a"]), ModelError, "not trained yet"),
        (lambda: Classifier.from_pretrained(encoder), ModelError, "without a classification head"),
        (
            lambda: Classifier(encoder, device="cuda:99"),
            DeviceError,
            "does not exist: this machine",
        ),
        (lambda: Classifier(encoder, device="toaster"), DeviceError, "device must be"),
        (lambda: Classifier(encoder).fit(["a", "b"], ["x", "x"]), DataError, "class|label"),
        (lambda: Classifier(encoder).fit(["a"]), DataError, "no labels"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_saved_tokenizer_neither_truncates_nor_pads(encoder, tmp_path):
    classifier = Classifier(encoder, method="dense").fit(*labelled(30), settings=QUICK)
    backend = classifier.tokenizer.backend_tokenizer
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    loaded = Classifier.from_pretrained(classifier.save(tmp_path))
    assert loaded.tokenizer.backend_tokenizer.truncation is None
    assert loaded.tokenizer.backend_tokenizer.padding is None
