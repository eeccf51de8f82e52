"""One search from a classifier to its evidence, on a tiny model; what is decided, and from what."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from commands import run_command
from tersely import Classifier
from tersely.accelerate import accelerate, final, search, upper_bound
from tersely.accelerate.candidates import Candidate, trainable_plans, untrained_plans
from tersely.accelerate.judge import Judge
from tersely.errors import DataError, ModelError
from tersely.modeling import Execution, TerselyForSequenceClassification
from tersely.reduction import preset
from tiny import tiny_encoder, tiny_tokenizer

WORDS = [f"w{number}" for number in range(60)]


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A dense tersely classifier with a tokenizer, its head random but of large weights."""
    folder = tmp_path_factory.mktemp("dense")
    tiny_tokenizer(WORDS).save_pretrained(folder)
    encoder = folder / "encoder"
    tiny_encoder("bert").save_pretrained(encoder)
    model = TerselyForSequenceClassification.from_encoder(str(encoder), num_labels=3)
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, size=generator.integers(3, 40))) for _ in range(80)]


@pytest.fixture
def clock(monkeypatch):
    """Speeds that a test decides on, in place of those of a busy machine."""
    from tersely.bench import Timing

    speeds = {}

    def turns(contenders, texts, rounds):
        for contender in contenders:
            contender.prepare(texts[:4])
        return [
            Timing(each.name, (speeds.get(each.name, 1.0),) * rounds, (), each.run())
            for each in contenders
        ]

    monkeypatch.setattr(search, "turns", turns)
    monkeypatch.setattr(final, "turns", turns)
    return speeds


def test_a_faster_choice_is_proven_saved_and_loads_as_it_was_measured(
    dense, texts, clock, tmp_path
):
    clock[search.PACKED] = 0.5
    clock["packed, 8192 tokens a batch"] = 0.4
    evidence, chosen = accelerate(dense, texts, limit=0.08)
    assert evidence.answer == "faster"
    assert evidence.chosen == "packed, 8192 tokens a batch"
    assert evidence.speed[final.WAYS[0]].median == pytest.approx(2.5)
    assert [proof.name for proof in evidence.proofs] == [search.PACKED, evidence.chosen]
    for proof in evidence.proofs:
        assert proof.documents == 40 and proof.failures == 0
        assert proof.bound == upper_bound(0, 40)
    assert evidence.texts == {"given": 80, "choose": 40, "prove": 40}
    folder = chosen.save(tmp_path / "faster")
    again = Classifier.from_pretrained(folder)
    assert again.batch_tokens == 8192 and again.execution == Execution(8192)
    wanted = Classifier.from_pretrained(dense).predict(texts)
    assert again.predict(texts) == wanted
    content = json.loads(evidence.write(tmp_path / "evidence.json").read_text())
    assert content["version"] == 1 and content["proofs"][-1]["holds"]
    assert not any(text in json.dumps(content) for text in texts)
    assert str(dense) not in json.dumps(content)


def test_what_was_timed_only_is_among_what_was_tried(dense, texts, clock, monkeypatch):
    monkeypatch.setattr(search, "thread_counts", lambda: [1])
    clock["packed, 8192 tokens a batch"] = 0.5
    evidence, _ = accelerate(dense, texts, limit=0.08)
    found = {each.name: each for each in evidence.tried}
    assert evidence.chosen == "packed, 8192 tokens a batch"
    chosen = found[evidence.chosen]
    assert chosen.verdict == "timed only: ×2.00 the speed of packed, faster in every round"
    assert chosen.execution["batch_tokens"] == 8192 and chosen.bound is None
    others = ("packed, 1 thread", "packed, 2048 tokens a batch")
    assert all(found[name].verdict == "timed only: ×1.00 the speed of packed" for name in others)


def test_no_gain_keeps_the_original(dense, texts, clock):
    evidence, chosen = accelerate(dense, texts, limit=0.08)
    assert chosen is None and evidence.answer == "keep" and evidence.proofs == ()
    assert evidence.reason.startswith("No gain here: keep the original")


def test_a_choice_that_the_other_half_does_not_prove_is_not_taken(dense, texts, clock, monkeypatch):
    clock[search.PACKED] = 0.5
    seen = []

    def failures(self, logits, numbers=None):
        seen.append(len(self.original))
        # Only the last look, at the texts set apart, finds failures.
        return 4 if len(seen) > 1 and self is not first[0] else first.append(self) or 0

    first = []
    monkeypatch.setattr(Judge, "failures", failures)
    evidence, chosen = accelerate(dense, texts, limit=0.08)
    assert chosen is None and evidence.answer == "keep"
    [proof] = evidence.proofs
    assert proof.failures == 4 and not proof.holds
    assert "do not prove" in evidence.reason


@pytest.mark.parametrize("packed", [0.5, 1.0])
def test_where_the_choice_is_not_proven_packed_execution_remains(
    dense, texts, clock, monkeypatch, packed
):
    """It is proven first, so that both share one confidence; and it has to gain something."""
    clock[search.PACKED] = packed
    clock["packed, 8192 tokens a batch"] = 0.4
    prove = final._prove

    def fail(name, logits, judge, limit):
        proof = prove(name, logits, judge, limit)
        return proof if name == search.PACKED else replace(proof, failures=4, holds=False)

    monkeypatch.setattr(final, "_prove", fail)
    evidence, chosen = accelerate(dense, texts, limit=0.08)
    assert [proof.holds for proof in evidence.proofs] == [True, False]
    assert "do not prove" in evidence.reason
    if packed == 1.0:
        assert chosen is None and evidence.answer == "keep"
    else:
        assert evidence.answer == "faster" and evidence.chosen == search.PACKED
        assert evidence.speed[final.WAYS[0]].median == pytest.approx(2.0)
        assert evidence.execution == Execution().to_dict() and chosen.plan.is_dense


def test_the_texts_that_prove_are_looked_at_once_and_after_the_choice(
    dense, texts, clock, monkeypatch
):
    from tersely.accelerate import split_halves

    clock[search.PACKED] = 0.5
    proving = {texts[number] for number in split_halves(texts, 0.08).prove}
    looked = []
    encode = Classifier.encode

    def watched(self, documents, pairs=None):
        looked.append(len(proving & set(documents)))
        return encode(self, documents, pairs)

    monkeypatch.setattr(Classifier, "encode", watched)
    accelerate(dense, texts, limit=0.08)
    assert looked[-1] == len(proving) and not any(looked[:-1])


def test_with_labels_a_failure_is_a_right_answer_lost():
    original, new = np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 2, 1, 1]]
    assert Judge(original, None, "single_label_classification").failures(new) == 3
    labels = np.array([0, 1, 1, 2])
    judge = Judge(original, labels, "single_label_classification")
    assert judge.failures(new) == 1 and judge.gained(new) == 1
    assert judge.failures(new[1:3], np.array([1, 2])) == 1
    several = Judge(original * 2 - 1, None, "multi_label_classification")
    assert several.failures(new * 2 - 1) == 3


def test_training_adds_candidates_and_leaves_the_proof_out(dense, texts, clock, monkeypatch):
    from tersely.accelerate import training

    taught = []
    make = training.trained_candidates

    def watched(original, chosen, tell):
        taught.extend(chosen)
        return make(original, chosen, tell)[:1]

    monkeypatch.setattr(search, "trained_candidates", watched)
    monkeypatch.setattr(
        training, "trainable_plans", lambda *_: [("topk keep=0.5 at=2", preset("topk", at=2))]
    )
    clock[search.PACKED] = 0.5
    evidence, _ = accelerate(dense, texts, limit=0.2, train=[*texts, "w1 w2 w3"])
    assert "w1 w2 w3" in taught and len(taught) == 41
    assert any(each.trained for each in evidence.tried)
    assert evidence.without_training["name"].startswith("packed")


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_lower_precision_is_near_and_is_not_saved(dense, texts, precision, tmp_path):
    original = Classifier.from_pretrained(dense)
    candidate = Candidate("lower", preset("dense"), Execution(precision=precision))
    made = candidate.build(original)
    wanted, got = original.logits(texts[:8]), made.logits(texts[:8])
    assert 0 < np.abs(wanted - got).max() < 0.2 * np.abs(wanted).max()
    with pytest.raises(ModelError, match="is not saved"):
        made.save(tmp_path)


def test_plans_fit_their_encoders():
    for depth in (2, 3, 6, 12):
        for head in ("mean", "family"):
            chains = [*untrained_plans(depth, head), list(trainable_plans(depth, head))]
            assert all(plan.resolve(depth) for chain in chains for _, plan in chain)


def test_what_cannot_be_accelerated_is_refused(dense, texts, tmp_path):
    original = Classifier.from_pretrained(dense)
    Candidate("half", preset("topk", at=1)).build(original).save(tmp_path / "half")
    with pytest.raises(ModelError, match="removes tokens already"):
        accelerate(tmp_path / "half", texts, limit=0.08)
    with pytest.raises(DataError, match="598 texts"):
        accelerate(dense, texts)
    original.model = None  # as of an export, which a graph runs
    with pytest.raises(ModelError, match="is an export"):
        accelerate(original, texts, limit=0.08)
    for policy in ("windows", "head-tail"):
        with pytest.raises(ModelError, match=f"long documents by '{policy}'"):
            accelerate(Classifier.from_pretrained(dense, long=policy), texts, limit=0.08)


@pytest.fixture
def labelled(tmp_path, texts):
    """Rows of the texts with several labels each."""
    path = tmp_path / "labelled.jsonl"
    rows = [
        {"text": text, "label": "a|b" if number % 2 else "b"} for number, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def several(dense, tmp_path):
    """The same model, its labels of the kind that may hold together."""
    folder = shutil.copytree(dense, tmp_path / "several")
    config = json.loads((folder / "config.json").read_text())
    config |= {"problem_type": "multi_label_classification"}
    config |= {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_verb_keeps_no_older_model_beside_the_answer_to_keep(
    several, labelled, clock, tmp_path
):
    """Labels are read as the model has them; what is not the older model's stays."""
    out = shutil.copytree(several, tmp_path / "out")
    (out / "README.md").write_text("my notes")
    (out / "mine.txt").write_text("mine")
    options = ["--label-column", "label", "--label-separator", "|", "--max-disagreement", "8%"]
    options += ["--rounds", "1", "--device", "cpu"]
    result = run_command("accelerate", several, labelled, "--out", out, "--overwrite", *options)
    assert result.exit_code == 0, result.stderr
    assert sorted(each.name for each in out.iterdir() if each.is_file()) == [
        "README.md",
        "evidence.json",
        "mine.txt",
    ]
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["counts"] == "right before, wrong now" and evidence["answer"] == "keep"
    assert "older model" in result.stderr and "config.json" in result.stderr
    result = run_command("accelerate", several, labelled, "--out", several, "--overwrite", *options)
    assert result.exit_code == 0 and (several / "model.safetensors").exists()
