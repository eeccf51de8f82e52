"""One search from a classifier to its evidence, on a tiny model: nothing but the clock is steered.

What is called enough of a gain (`GAIN`) is set by the tests, since a busy machine's speeds are not
theirs to decide; answers, path and proof are the real ones.
"""

import json
import re
from xml.etree import ElementTree

import pytest
import torch

from commands import run_command
from tersely import Classifier
from tersely.accelerate import accelerate, search, sentences, write_evidence
from tersely.accelerate.clock import WAYS, plan_clock
from tersely.bench import under_plan
from tersely.cascade import Stage
from tersely.certificates import Certificates
from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.modeling import TerselyForSequenceClassification
from tersely.reduction import preset
from tersely.search import draw_documents, find
from tersely.text import Documents
from three_kinds import KINDS, TEXTS, WORDS
from tiny import tiny_tokenizer

LIMIT = 0.05
PARTS = draw_documents(Documents.from_lists(TEXTS), LIMIT, 0)


@pytest.fixture
def any_gain(monkeypatch):
    """Whatever the clock says is gain enough."""
    monkeypatch.setattr(search, "GAIN", 0.0)


@pytest.fixture(scope="module")
def found(kinds):
    """Evidence and model of one search, and how many texts for proof an encoding held, if any."""
    proving, looked, encode = set(PARTS["proving"].texts), [], Classifier.encode

    def watched(self, documents, *rest, **options):
        looked.append(len(proving & set(documents)))
        return encode(self, documents, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "GAIN", 0.0)
        patch.setattr(Classifier, "encode", watched)
        evidence, chosen = accelerate(kinds, TEXTS, limit=LIMIT, rounds=2)
    return evidence, chosen, [count for count in looked if count]


def test_a_cascade_is_proven_saved_and_answers_as_it_was_certified(kinds, found, tmp_path):
    evidence, chosen, _ = found
    assert evidence["answer"] == "faster" and evidence["chosen"] == "cascade"
    assert evidence["reason"].startswith("Faster: ") and evidence["stages"][-1] == "reference"
    assert set(evidence["speed"]) == set(evidence["packed_speed"]) == set(WAYS)
    assert evidence["texts"] == {"given": 400} | {name: len(own) for name, own in PARTS.items()}
    certificate = Certificates.from_dict(evidence["certificates"]).at(LIMIT)
    assert certificate.bound <= LIMIT and certificate.documents == len(PARTS["proving"])
    again = Classifier.from_pretrained(chosen.save(tmp_path / "fast"), device="cpu")
    proving = PARTS["proving"].texts
    original = Classifier.from_pretrained(kinds, device="cpu")
    forward = again.forward(again.encode(proving))
    pairs = zip(again.predict(proving), original.predict(proving), strict=True)
    differing = sum(one != other for one, other in pairs)
    early = int((forward.stages < len(evidence["stages"]) - 1).sum())
    # In another batch the last digits differ, and a document on the edge of a threshold may move.
    assert abs(early - certificate.early) <= 1 and abs(differing - certificate.worse) <= 1
    assert certificate.early > 0
    content = json.dumps(evidence)
    assert not any(text in content for text in TEXTS) and str(kinds) not in content
    lines = sentences(evidence)
    assert lines[1].startswith("5.00%: ") and "answered early" in lines[1]
    assert "times as many texts for proof" in lines[-1]
    assert lines[0] == evidence["verdict"] and lines[0].endswith(
        f", at a disagreement of at most {certificate.bound:.2%}."
    )
    assert re.search(r"; cascade is \S+ times \(.*\) as fast as packed, ", lines[0])
    first_unproven = next(i for i, line in enumerate(lines) if "not proven" in line)
    assert not any("are answered early" in line for line in lines[first_unproven:])
    proven = [each["limit"] for each in evidence["certificates"]["certificates"] if each["bound"]]
    by_limit = {each["limit"]: each for each in evidence["by_limit"]}
    assert LIMIT in by_limit and set(by_limit) <= set(proven)
    for each in by_limit.values():
        assert sum(each["shares"]) == pytest.approx(1) and set(each["speed"]) == {*WAYS, "packed"}
    assert by_limit[LIMIT]["speed"]["packed"] == evidence["over_packed"]
    write_evidence(evidence, tmp_path)
    assert json.loads((tmp_path / "evidence.json").read_text()) == json.loads(content)
    picture = ElementTree.parse(tmp_path / "speed.svg").getroot()
    assert picture.get("role") == "img" and "at 5 % " in picture[0].text
    write_evidence(evidence | {"by_limit": []}, tmp_path)
    assert not (tmp_path / "speed.svg").exists()


def test_the_clock_takes_more_texts_before_more_rounds_and_asks_for_no_more_than_given():
    assert plan_clock(0.001, 1000, 5) == (512, 5)
    assert plan_clock(0.035, 1000, 5) == (285, 3)
    assert plan_clock(0.5, 1000, 5) == (128, 3)
    assert plan_clock(0.001, 60, 1) == (60, 1)


def test_no_gain_keeps_the_original_and_says_how_fast_packed_is(kinds, monkeypatch):
    monkeypatch.setattr(search, "GAIN", 1e9)
    evidence, chosen = accelerate(kinds, TEXTS, limit=LIMIT, rounds=1)
    assert chosen is None and evidence["answer"] == "keep"
    assert evidence["reason"].startswith("No gain here: keep the original")
    assert any(line.startswith("packed: ") for line in sentences(evidence))
    assert "; packed is " in evidence["verdict"] and " at most " not in evidence["verdict"]


def test_packed_execution_remains_where_no_stage_keeps_the_limit(kinds, any_gain, monkeypatch):
    monkeypatch.setattr(find, "choices", lambda *args: [])
    evidence, chosen = accelerate(kinds, TEXTS, limit=LIMIT, rounds=1)
    assert evidence["chosen"] == "packed" and chosen.model.cascade is None
    assert "changes no label" in evidence["reason"] and evidence["certificates"] is None


def test_the_texts_that_prove_are_looked_at_once_and_last(found):
    assert found[-1] == [len(PARTS["proving"])]


def test_labels_make_the_limit_one_on_the_net_loss(kinds, any_gain):
    original = Classifier.from_pretrained(kinds, device="cpu")
    labels = original.predict(TEXTS)
    evidence, _ = accelerate(original, TEXTS, labels, limit=0.1, rounds=1)
    assert evidence["criterion"] == evidence["certificates"]["criterion"] == "loss"
    assert "the linear stage alone" not in evidence["reason"]  # nothing beats the labels' author
    evidence, _ = accelerate(
        original, TEXTS, [f"LABEL_{kind}" for kind in KINDS], limit=0.1, rounds=1
    )
    assert "the linear stage alone is right as often or more, and " in evidence["verdict"]
    with pytest.raises(DataError, match="knows none of the data's labels"):
        accelerate(original, TEXTS, ["other"] * 400, limit=0.1)


def test_what_cannot_be_accelerated_is_refused(kinds, tmp_path):
    original = Classifier.from_pretrained(kinds, device="cpu")
    under_plan(original, preset("topk", at=1)).save(tmp_path / "half")
    with pytest.raises(ModelError, match="already saves work"):
        accelerate(tmp_path / "half", TEXTS, limit=LIMIT)
    with pytest.raises(DataError, match=r"598 held-out texts .* at least"):
        accelerate(kinds, TEXTS)
    original.model = None  # as of an export, which a graph runs
    with pytest.raises(ModelError, match="is an export"):
        accelerate(original, TEXTS, limit=LIMIT)
    for policy in ("windows", "head-tail"):
        with pytest.raises(ModelError, match=f"long documents by '{policy}'"):
            accelerate(Classifier.from_pretrained(kinds, long=policy), TEXTS, limit=LIMIT)


def test_texts_that_nearly_duplicate_training_documents_are_counted(kinds, any_gain):
    original = Classifier.from_pretrained(kinds, device="cpu")
    train = Documents.from_lists([" ".join(reversed(text.split())) for text in TEXTS[:80]])
    with pytest.warns(TerselyWarning, match=r"\d\d of 288 texts that prove nearly duplicate"):
        accelerate(original, TEXTS, limit=LIMIT, train=train, rounds=1)


def test_texts_that_are_all_answered_alike_leave_out_the_linear_stage(kinds):
    original = Classifier.from_pretrained(kinds, device="cpu")
    with torch.no_grad():
        original.model.head.classifier.bias[1] += 1000
    said = []
    evidence, _ = accelerate(original, TEXTS, limit=LIMIT, rounds=1, tell=said.append)
    assert any("no linear stage" in line for line in said)
    assert evidence["linear"] is None


def test_the_verb_reads_labels_as_the_model_has_them(kinds, tmp_path):
    """Several labels a text; an older model beside the answer to keep is named."""
    model = TerselyForSequenceClassification.from_pretrained(kinds)
    names = {0: "a", 1: "b", 2: "c"}
    model.config.problem_type, model.config.id2label = "multi_label_classification", names
    model.config.label2id = {name: number for number, name in names.items()}
    several, out = tmp_path / "several", tmp_path / "out"
    for folder in (several, out):
        model.save_pretrained(folder)
        tiny_tokenizer(WORDS).save_pretrained(folder)
    predicted = Classifier.from_pretrained(several).predict(TEXTS)
    rows = [{"text": t, "label": "|".join(p) or "a"} for t, p in zip(TEXTS, predicted, strict=True)]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--max-loss", "10%"]
    options += ["--rounds", "1", "--device", "cpu", "--overwrite", "--json"]
    result = run_command("accelerate", several, data, "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    record, evidence = json.loads(result.stdout), json.loads((out / "evidence.json").read_text())
    assert evidence["criterion"] == "loss" and record["answer"] == evidence["answer"]
    written = json.loads((out / "config.json").read_text()).get("cascade")
    assert (written is not None) == (evidence["chosen"] == "cascade")
    assert (evidence["answer"] == "keep") == ("an earlier run" in result.stderr)
    card = out / "README.md"
    assert evidence["answer"] == "keep" or evidence["verdict"] in card.read_text("utf-8")
    assert record["verdict"] == evidence["verdict"]


def test_a_cascade_that_was_made_carries_stages_that_it_names(found):
    evidence, chosen, _ = found
    cascade = chosen.model.cascade
    assert [stage.name for stage in cascade.stages] == evidence["stages"]
    assert cascade.stages[-1] == Stage("reference")
    assert cascade.at(0).is_alone
    assert cascade.at(LIMIT) == cascade
