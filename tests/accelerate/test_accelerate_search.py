"""One search from a classifier to its evidence, on a tiny model: nothing but the clock is steered.

What is called enough of a gain (`GAIN`) is set by the tests, since a busy machine's speeds are not
theirs to decide; clock, failures and proof are the real ones.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from commands import run_command
from tersely import Classifier
from tersely.accelerate import accelerate, search, sentences, split_texts
from tersely.accelerate.search import WAYS, Candidate, failures_against, untrained_plans
from tersely.bench import Spread, under_plan
from tersely.errors import DataError, ModelError
from tersely.modeling import Execution, TerselyForSequenceClassification, from_encoder
from tersely.reduction import preset
from tiny import tiny_encoder, tiny_tokenizer

WORDS = [f"w{number}" for number in range(60)]
LIMIT = 0.08


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A dense tersely classifier with a tokenizer, its head random but of large weights."""
    folder = tmp_path_factory.mktemp("dense")
    tiny_tokenizer(WORDS).save_pretrained(folder)
    tiny_encoder("bert").save_pretrained(folder / "encoder")
    model = from_encoder(str(folder / "encoder"), num_labels=3)
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, size=generator.integers(3, 40))) for _ in range(80)]


BOLD = preset("topk", keep=0.25, at=0, least=1)


@pytest.fixture
def any_gain(monkeypatch):
    """Whatever the clock says is gain enough."""
    monkeypatch.setattr(search, "GAIN", 0.0)


@pytest.fixture
def one_plan(monkeypatch):
    """A bold plan alone, which the clock finds the fastest by far."""
    monkeypatch.setattr(search, "untrained_plans", lambda depth, head: [Candidate("bold", BOLD)])
    seconds = search._Part.seconds

    def steered(self, candidates, rounds, others=()):
        found = seconds(self, candidates, rounds, others)
        return found if others else found | {"bold": [1e-9] * rounds}

    monkeypatch.setattr(search._Part, "seconds", steered)


def test_a_faster_choice_is_proven_saved_and_loads_as_it_was_measured(
    dense, texts, any_gain, tmp_path
):
    evidence, chosen = accelerate(dense, texts, limit=LIMIT, rounds=2)
    name = evidence["chosen"]
    assert evidence["answer"] == "faster" and evidence["reason"].startswith(f"Faster: {name}")
    assert evidence["texts"] == {"given": 80, "selection": 40, "proof": 40}
    assert set(evidence["speed"]) == set(evidence["packed_speed"]) == set(WAYS)
    assert all(len(seconds) == 2 for seconds in evidence["seconds"].values())
    assert evidence["proofs"][0]["name"] == "packed" and evidence["proofs"][0]["failures"] == 0
    proof = next(each for each in evidence["proofs"] if each["name"] == name)
    assert proof["holds"] and proof["documents"] == 40 and proof["bound"] <= LIMIT
    tried = {each["name"]: each for each in evidence["tried"]}
    assert tried["packed"]["macs_ratio"] == 1 and tried["packed"]["failures"] == 0
    assert {"tome ratio=0.15 start=0", "topk keep=0.25 at=1", "packed, int8"} <= set(tried)
    again = Classifier.from_pretrained(chosen.save(tmp_path / "faster"))
    assert again.execution.to_dict() == evidence["execution"]
    content = json.dumps(evidence)
    assert not any(text in content for text in texts) and str(dense) not in content
    assert any(line.startswith("packed: ×") for line in sentences(evidence))


def test_no_gain_keeps_the_original_and_says_how_fast_packed_is(dense, texts, monkeypatch):
    monkeypatch.setattr(search, "GAIN", 1e9)
    evidence, chosen = accelerate(dense, texts, limit=LIMIT, rounds=1)
    assert chosen is None and evidence["answer"] == "keep" and evidence["proofs"] == []
    assert evidence["reason"].startswith("No gain here: keep the original")
    assert any(line.startswith("packed: ×") for line in sentences(evidence))


@pytest.mark.parametrize(("over", "chosen"), [(1.04, "packed"), (1.06, "bold")])
def test_packed_is_not_given_up_for_a_plan_that_is_hardly_faster(
    dense, texts, one_plan, monkeypatch, over, chosen
):
    """It gave up losslessness for 2 %, and did not print what packed alone had gained."""
    ratios = iter([over])  # of the plan over packed; all others are ratios to the original
    steered = Spread(2, 2, 2, 2, 2, (2, 2))
    monkeypatch.setattr(
        search, "paired_ratio", lambda mine, base: replace(steered, interval=(next(ratios, 2), 2))
    )
    evidence, _ = accelerate(dense, texts, limit=0.55, rounds=1)
    assert evidence["chosen"] == chosen == evidence["proofs"][-1]["name"]


def test_where_the_choice_is_not_proven_packed_execution_remains(dense, any_gain, one_plan):
    """All texts on which the plan changes the label are among those that prove."""
    original = Classifier.from_pretrained(dense, device="cpu")
    generator = np.random.default_rng(1)
    pool = [" ".join(generator.choice(WORDS, size=12)) for _ in range(400)]
    bold = under_plan(original, BOLD)
    same = [a == b for a, b in zip(bold.predict(pool), original.predict(pool), strict=True)]
    unchanged = [text for text, equal in zip(pool, same, strict=True) if equal]
    changed = [text for text, equal in zip(pool, same, strict=True) if not equal]
    assert len(changed) >= 4
    selection, proof = split_texts([str(number) for number in range(80)], LIMIT)
    texts = [""] * 80
    for number in proof:
        texts[number] = (changed or unchanged).pop()
    for number in selection:
        texts[number] = unchanged.pop()
    evidence, chosen = accelerate(original, texts, limit=LIMIT, rounds=1)
    assert [proof["holds"] for proof in evidence["proofs"]] == [True, False]
    assert "do not prove the limit for bold" in evidence["reason"]
    assert evidence["answer"] == "faster" and evidence["chosen"] == "packed"
    assert chosen.plan.is_dense and evidence["execution"] == Execution().to_dict()


def test_the_texts_that_prove_are_looked_at_once_and_after_the_choice(
    dense, texts, any_gain, monkeypatch
):
    proving = {texts[number] for number in split_texts(texts, LIMIT)[1]}
    looked = []

    def watched(method):
        def watch(self, documents, *rest):
            looked.append(len(proving & set(documents)))
            return method(self, documents, *rest)

        return watch

    for owner, name in ((search.StockContender, "prepare"), (Classifier, "encode")):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    accelerate(dense, texts, limit=LIMIT, rounds=1)
    assert looked[-2:] == [len(proving)] * 2 and not any(looked[:-2])


def test_candidates_share_the_originals_weights(dense):
    """Review 8: each look at a candidate copied the whole model."""
    original = Classifier.from_pretrained(dense)
    made = under_plan(original, preset("topk", at=1))
    theirs, ours = (dict(each.model.named_parameters()) for each in (original, made))
    assert all(ours[name] is parameter for name, parameter in theirs.items())
    assert original.plan.is_dense and not made.plan.is_dense
    assert original.predict(["w1 w2 w3"]) == Classifier.from_pretrained(dense).predict(["w1 w2 w3"])


def test_with_labels_a_failure_is_a_right_answer_lost():
    original, new = np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 2, 1, 1]]
    assert failures_against(original, None, "single_label_classification")(new) == 3
    count = failures_against(original, np.array([0, 1, 1, 2]), "single_label_classification")
    assert count(new) == 1 and count(new[:1]) == 0
    assert failures_against(original * 2 - 1, None, "multi_label_classification")(new * 2 - 1) == 3


def test_nothing_is_proven_where_nothing_could_be_lost(dense, texts):
    """F3: with labels that the model does not know, everything was proven vacuously."""
    with pytest.raises(DataError, match="knows none of the data's labels"):
        accelerate(dense, texts, ["other"] * 80, limit=LIMIT)
    with pytest.raises(DataError, match="none of 2 texts right"):
        failures_against(np.eye(3)[[0, 1]], np.array([2, 2]), "single_label_classification")


def test_plans_fit_their_encoders():
    for depth in (2, 3, 6, 12):
        for head in ("mean", "family"):
            assert all(each.plan.resolve(depth) for each in untrained_plans(depth, head))


def test_what_cannot_be_accelerated_is_refused(dense, texts, tmp_path):
    original = Classifier.from_pretrained(dense)
    under_plan(original, preset("topk", at=1)).save(tmp_path / "half")
    with pytest.raises(ModelError, match="removes tokens already"):
        accelerate(tmp_path / "half", texts, limit=LIMIT)
    with pytest.raises(DataError, match="598 texts"):
        accelerate(dense, texts)
    original.model = None  # as of an export, which a graph runs
    with pytest.raises(ModelError, match="is an export"):
        accelerate(original, texts, limit=LIMIT)
    for policy in ("windows", "head-tail"):
        with pytest.raises(ModelError, match=f"long documents by '{policy}'"):
            accelerate(Classifier.from_pretrained(dense, long=policy), texts, limit=LIMIT)


def test_the_verb_reads_labels_as_the_model_has_them(dense, texts, one_plan, tmp_path):
    """Several labels a text; an older model beside the answer to keep is named."""
    model = TerselyForSequenceClassification.from_pretrained(dense)
    names = {0: "a", 1: "b", 2: "c"}
    model.config.problem_type, model.config.id2label = "multi_label_classification", names
    model.config.label2id = {name: number for number, name in names.items()}
    several, out = tmp_path / "several", tmp_path / "out"
    for folder in (several, out):
        model.save_pretrained(folder)
        tiny_tokenizer(WORDS).save_pretrained(folder)
    predicted = Classifier.from_pretrained(several).predict(texts)
    rows = [{"text": t, "label": "|".join(p) or "a"} for t, p in zip(texts, predicted, strict=True)]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--label-column", "label", "--max-disagreement", "0.08"]
    options += ["--rounds", "1", "--device", "cpu", "--overwrite"]
    result = run_command("accelerate", several, data, "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["counts"] == "right before, wrong now"
    assert (evidence["answer"] == "keep") == ("of an earlier run" in result.stderr)
