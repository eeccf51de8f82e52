"""What stages say, how it is judged, and what is proven of a cascade that is given."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tersely import Classifier
from tersely.cascade import LINEAR, REFERENCE, Cascade, Stage
from tersely.certificates.netloss import net_loss_p_value
from tersely.errors import TerselyWarning
from tersely.search import StageRunner, draw_documents, find, fitted, plan_stages, prove_cascade
from tersely.search.stages import Looked
from tersely.text import Documents, LabelSpace
from three_kinds import TEXTS


@pytest.fixture(scope="module")
def original(kinds):
    return Classifier.from_pretrained(kinds, device="cpu")


def referee(criterion="disagreement", problem_type="single_label_classification"):
    """A runner without a model, which can judge all the same."""
    model, space = SimpleNamespace(alone=lambda: None), LabelSpace(("a", "b", "c"), problem_type)
    original = SimpleNamespace(label_space=space, torch_model=lambda: model)
    return StageRunner(original, criterion)


def judged(referee, answers, reference, labels=None):
    documents = Documents.from_lists(["some text"] * len(answers), labels)
    return referee.judge(answers, reference, referee.wanted(documents, reference))


def test_judging_counts_what_differs_or_turns_wrong_and_right():
    before, after = torch.eye(3)[[0, 1, 2, 0]], torch.eye(3)[[0, 2, 1, 1]]
    differs, none = judged(referee(), after, before)
    assert differs.tolist() == [False, True, True, True] and not none.any()
    worse, better = judged(referee("loss"), after, before, ["a", "b", "b", "c"])
    assert worse.tolist() == [False, True, False, False]
    assert better.tolist() == [False, False, True, False]


def test_of_several_labels_the_referee_counts_those_that_hold():
    several = "multi_label_classification"
    reference = torch.tensor([[0.9, 0.2, 0.6], [0.1, 0.2, 0.3]]).log()
    answers = torch.tensor([[0.8, 0.4, 0.7], [0.1, 0.7, 0.3]]).log()
    worse, better = judged(referee(problem_type=several), answers, reference)
    assert worse.tolist() == [False, True] and not better.any()
    labels = [["a", "c"], ["b"]]
    worse, better = judged(referee("loss", several), answers, reference, labels)
    assert worse.tolist() == [False, False] and better.tolist() == [False, True]


def test_a_temperature_makes_scaled_logits_honest():
    chance = np.random.default_rng(0)
    honest = torch.from_numpy(chance.normal(size=(4000, 3)) * 2)
    wanted = np.array([chance.choice(3, p=row) for row in honest.softmax(1).numpy()])
    assert fitted(Stage(REFERENCE), honest * 3, wanted, False).temperature == pytest.approx(
        3, rel=0.1
    )


def test_stages_share_the_originals_weights_and_differ_by_name(original):
    assert len({stage.name for stage in plan_stages(6)}) == len(list(plan_stages(6))) == 4
    steps = []
    runner = StageRunner(original, progress=lambda *step: steps.append(step))
    stages = [*plan_stages(3), Stage(REFERENCE)]
    _, looked = runner.look(stages, Documents.from_lists(TEXTS[:20]))
    np.testing.assert_allclose(
        looked.answers[REFERENCE], torch.from_numpy(original.logits(TEXTS[:20])).log_softmax(1)
    )
    assert not looked.worse[REFERENCE].any() and looked.better is None
    assert original.model.cascade is None and original.plan.is_dense
    # Which of how many, and all of their documents, so that the time left is that of all.
    ended = [what for what, done, total in steps if done % 20 == 0 and total == 20 * len(stages)]
    named = enumerate(stages, start=1)
    assert ended == [f"stage {n} of {len(stages)}, {stage.name}" for n, stage in named]
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_looking_adds_the_evidence_of_the_linear_stage_as_the_cascade_does(original):
    runner, documents = StageRunner(original), Documents.from_lists(TEXTS[:60])
    runner.fit_linear(Documents.from_lists(TEXTS))
    stages = (Stage(LINEAR), Stage(REFERENCE, temperature=2.0, weight=0.7))
    _, looked = runner.look(stages, documents)
    cascaded = copy.copy(original)
    cascaded.adopt(runner.model.under_cascade(Cascade(stages)), original.tokenizer)
    given = torch.from_numpy(cascaded.logits(TEXTS[:60]))
    np.testing.assert_allclose(looked.answers[REFERENCE], given, atol=1e-5)
    assert original.model.linear is None


@pytest.mark.parametrize(("worse", "better", "proving"), [(50, 12, 200), (16, 16, 1000)])
def test_a_choice_hopes_by_the_bound_that_the_proof_will_ask(worse, better, proving):
    """Gains pay for losses; where one in 16 turns wrong, and one right, little is."""
    number, sure = np.arange(1000), torch.linspace(0.99, 0.6, 1000)
    answers = {LINEAR: torch.stack([sure, 1 - sure], 1).log()}
    judged = {LINEAR: number % worse == 8}, {LINEAR: number % better == 4}
    looked = Looked(answers, {LINEAR: 0.01, REFERENCE: 1.0}, *judged)
    stages = [Stage(LINEAR), Stage(REFERENCE)]
    found = find.choices(looked, stages, 0.01, proving, several=False)
    assert [each.seconds < 0.1 for each in found] == [better < worse]
    for each in found:
        _, *marked = find.path_marks(stages, each.path.thresholds, looked, several=False)
        lost, won = (mark[each.point].mean() * proving for mark in marked)
        assert net_loss_p_value(lost, won, proving, 0.01) <= 0.05


def test_a_path_that_is_given_is_proven_on_other_documents(original):
    runner = StageRunner(original)
    runner.fit_linear(Documents.from_lists(TEXTS[:150]))
    cascade = Cascade((Stage(LINEAR), Stage(REFERENCE)), ((0.99,), (0.9,), (0.0,)))
    others = Documents.from_lists(TEXTS[150:])
    proven = prove_cascade(runner, cascade, others, 0.08)
    assert (proven.stages, proven.path) == (cascade.stages, cascade.path)
    found = proven.certificates
    assert found.documents == 250 and found.parts[-1].fingerprint == found.fingerprint
    assert proven.point == found.at(0.08).point and found.at(0.08).early > 0
    labels = StageRunner(original, "loss")
    labels.model = runner.model
    names = original.predict(others.texts)
    lossy = prove_cascade(labels, cascade, Documents.from_lists(others.texts, names), 0.08)
    assert lossy.certificates.criterion == "loss"
    assert lossy.certificates.at(0.08).better == 0  # the reference is right by definition


def test_a_classifier_makes_itself_faster_or_says_why_not(original, fast, monkeypatch):
    certificate = fast.certificates.at(0.05)
    assert certificate.bound <= 0.05 and certificate.early > 0
    assert fast.forward(fast.encode(TEXTS)).stages.min() == 0
    # A cascade starts from its encoder alone.
    again = fast.accelerate(TEXTS, limit=0.05)
    assert again.certificates.fingerprint == fast.certificates.fingerprint
    assert again.model.alone().encoder is fast.model.encoder
    monkeypatch.setattr(find, "choices", lambda *args: [])
    with pytest.warns(TerselyWarning, match="stays as it is: no stage keeps the limit"):
        assert original.accelerate(TEXTS, limit=0.05) is original
    assert original.certificates is None


def test_documents_of_their_own_fit_and_none_of_them_proves():
    documents = Documents.from_lists([*TEXTS[:200], "A  b"])
    fitting = Documents.from_lists([*TEXTS[150:400], "a B"])
    parts = draw_documents(documents, 0.05, 0, fitting)
    assert parts["fitting"] is fitting
    drawn = parts["choosing"].texts + parts["proving"].texts
    assert sorted(drawn) == sorted({*TEXTS[:150]} - {*TEXTS[150:400]})
    assert len(parts["proving"]) > len(parts["choosing"]) > 0
