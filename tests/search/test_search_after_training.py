"""What training ends with: the linear verdict first, then a cascade that is proven or estimated."""

import json
import re

import numpy as np
import pytest
import torch

from commands import run_command
from tersely import Classifier, TrainingSettings
from tersely.cascade import LINEAR, REFERENCE
from tersely.certificates import different, fingerprint
from tersely.errors import DataError, TrainingError
from tersely.modeling.modeling import MeanHead
from tersely.text import Documents
from tersely.training import fit as fitting
from tersely.training.stages import StagedTraining
from words import documents, labelled

QUICK = TrainingSettings(epochs=0.5, learning_rate=5e-3, batch_tokens=1024)


def trained(encoder, given, method="dense", **options):
    return Classifier(encoder, method=method, device="cpu").fit(given, settings=QUICK, **options)


@pytest.fixture(scope="module")
def proven(encoder):
    """A model of 400 documents, a tenth of which were set apart for proof."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fitting, "PROVABLE", 300)
        return trained(encoder, documents(400), max_loss=0.09)


@pytest.fixture(scope="module")
def estimated(encoder):
    return trained(encoder, documents(300))


def test_the_linear_verdict_comes_before_the_encoder_is_trained(encoder, monkeypatch):
    lines = []

    def run(*args, **options):
        raise TrainingError(f"{len(lines)} line")

    monkeypatch.setattr(StagedTraining, "run", run)
    with pytest.raises(TrainingError, match="2 line"):
        trained(encoder, documents(300), tell=lines.append)
    assert "the linear stage alone: " in lines[0]
    assert "of 30 validation documents are classified correctly (" in lines[0]
    assert lines[1].endswith("it takes 300 held-out documents, a tenth of those given")


def test_documents_set_apart_prove_the_cascade(proven, tmp_path):
    cascade, found = proven.model.cascade, proven.certificates
    assert found.criterion == "loss" and found.documents == len(proven.proof) == 40
    assert found.fingerprint == fingerprint(proven.proof.texts)
    assert [part.name for part in found.parts] == ["fitting", "choosing", "proving"]
    assert cascade.point == found.at(0.09).point and found.at(0.09).early > 0
    told = "\n".join(proven.training["lines"])
    assert "net loss of at most 9.00%: " in told and "40 held-out documents" in told
    assert proven.training["cascade"]["machine"]["threads"] and "not proven" not in told
    loaded = Classifier.from_pretrained(proven.save(tmp_path), device="cpu")
    texts = labelled(50, seed=3)[0]
    assert np.array_equal(loaded.logits(texts), proven.logits(texts))
    assert loaded.model.cascade == cascade
    assert "net loss of at most 9.00%" in (tmp_path / "README.md").read_text("utf-8")
    facts = json.loads(run_command("info", tmp_path, "--json").stdout)
    assert facts["cascade"][0] == "linear" and "reference (evidence × " in facts["cascade"][-1]
    assert facts["certified"] == found.lines()
    # Who starts from this one or is taught by it takes the encoder alone.
    again = trained(tmp_path, documents(40))
    assert again.model.cascade is None
    alone = proven.alone()
    assert alone.certificates is None and alone.alone() is alone and alone.model.cascade is None
    given = fitting.gather(documents(40), None, None, teacher=proven)
    train, _ = given.encoded(proven)
    given.taught(train)
    assert np.array_equal(train.teacher_logits, alone.logits(given.documents.texts))
    assert not np.allclose(train.teacher_logits, proven.logits(given.documents.texts))


def test_no_text_for_proof_is_among_the_others():
    texts, labels = labelled(90)
    # Every text twice, the second time in other spaces and case.
    twice = Documents.from_lists(texts + [f" {text.upper()}" for text in texts], labels * 2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fitting, "PROVABLE", 50)
        logits = np.arange(180, dtype=np.float32)[:, None] * np.ones(3, dtype=np.float32)
        given = fitting.gather(twice, None, None, validation=0.2, teacher=logits, prove=True)
        named = fitting.gather(
            twice, None, None, validation=Documents.from_lists(texts[:30], labels[:30]), prove=True
        )
    kinds = different(twice.texts)
    assert len(given.proof) == len(kinds) // 10 == len(different(given.proof.texts))
    others = given.documents.texts + given.validation.texts
    assert len(different(given.proof.texts, without=others)) == len(given.proof)
    assert len(others) == len(twice) - 2 * len(given.proof)
    rows = given.logits[:, 0].astype(int)  # the teacher's stay with their documents
    assert [twice.texts[row] for row in rows] == given.documents.texts
    assert len(different(named.proof.texts, without=texts[:30])) == len(named.proof)


def test_few_documents_give_an_estimate_and_the_most_accurate_point(estimated):
    cascade = estimated.model.cascade
    assert cascade.point is None and cascade.path and cascade.certificates is None
    assert estimated.proof is None
    *_, last = cascade.stages
    assert last.weight > 0 and last.temperature != 1 and cascade.stages[0].kind == LINEAR
    record = estimated.training["cascade"]
    assert record["documents"] == 30 and record["estimate"]["early"] > 0
    assert record["accuracy"]["both"] > record["accuracy"]["encoder"]
    told = "\n".join(estimated.training["lines"])
    assert "an estimate, not a certificate" in told and "299 other labelled documents" in told
    texts = labelled(40, seed=5)[0]
    encoded = estimated.encode(texts)
    linear = estimated.model.linear(
        torch.from_numpy(np.concatenate(encoded.windows)),
        torch.from_numpy(np.cumsum([0, *encoded.sizes])),
    ).numpy()
    alone = estimated.model.alone()
    reference = Classifier("x", method="dense", device="cpu")
    reference.adopt(alone, estimated.tokenizer)
    both = reference.logits(encoded) / last.temperature + last.weight * linear
    both -= np.log(np.exp(both).sum(1, keepdims=True))
    assert np.allclose(estimated.logits(encoded), both, atol=1e-4)
    assert "the full model adds" in estimated.evaluate(estimated.validation).verdict


def test_without_stacking_the_reference_is_the_encoder(encoder):
    plain = trained(encoder, documents(300), method="topk", stacking=False)
    stages = plain.model.cascade.stages
    assert not any(stage.weight for stage in stages) and stages[-1].kind == REFERENCE
    assert {stage.kind for stage in stages} <= {LINEAR, REFERENCE}  # plans are for dense models
    reference = Classifier("x", method="dense", device="cpu")
    reference.adopt(plain.model.alone(), plain.tokenizer)
    texts = labelled(40, seed=5)[0]
    assert list(plain.predict(texts)) == list(reference.predict(texts))


def test_several_labels_are_stacked_by_their_odds(encoder):
    texts, labels = labelled(300)
    both = [[label, *["long"] * ("cat" in text)] for text, label in zip(texts, labels, strict=True)]
    several = trained(encoder, Documents.from_lists(texts, both))
    assert several.model.cascade.stages[-1].weight > 0
    accuracy = several.training["cascade"]["accuracy"]
    assert accuracy["both"] > accuracy["encoder"]
    found = several.evaluate(several.validation)
    assert found["accuracy"] == pytest.approx(accuracy["both"])
    assert f"{100 * accuracy['linear']:.1f} %" in found.verdict


@pytest.mark.parametrize(
    ("count", "options", "told"),
    [
        (60, {}, "needs 25 validation documents .* got 6; a tenth of 250 documents"),
        (60, {"validation": 0}, "validation documents, and there are none"),
        (60, {"cascade": "off"}, None),
        (0, {}, "a regression has none"),
    ],
)
def test_where_there_is_no_cascade_a_line_says_why(encoder, count, options, told):
    given = documents(count) if count else Documents.from_lists(labelled(30)[0], [0.5, 1.5] * 15)
    plain = trained(encoder, given, **options)
    assert plain.model.cascade is None and plain.model.linear is None
    lines = "\n".join(plain.training["lines"])
    assert re.search(told, lines) if told else not lines


def test_a_reference_that_disagrees_with_itself_answers_alone(encoder, monkeypatch):
    plain = MeanHead.forward
    swayed = lambda self, hidden, *rest: plain(self, hidden, *rest) * (-1) ** len(hidden)  # noqa: E731
    monkeypatch.setattr(MeanHead, "forward", swayed)
    made = trained(encoder, documents(300))
    assert made.model.cascade.is_alone
    assert "answers alone, since the reference gives " in "\n".join(made.training["lines"])


def test_options_that_cannot_be_are_refused(encoder):
    for wrong in {"cascade": "on"}, {"max_loss": 0.0}:
        with pytest.raises(DataError, match="cascade of auto or off and a max_loss between 0"):
            trained(encoder, documents(30), **wrong)
