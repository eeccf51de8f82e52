"""Who answers which document: by the first stage that is sure enough, in any company."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.cascade import Cascade, Review, Stage, confidence, run_cascade
from tersely.certificates import prove
from tersely.errors import DataError, ModelError
from tersely.reduction import preset

STAGES = (Stage("linear"), Stage("plan", preset("topk", keep=0.5, at=0)), Stage("reference"))


def stage_logits(seed, documents=30, classes=3):
    chance = np.random.default_rng(seed)
    return {
        stage: torch.from_numpy(chance.normal(size=(documents, classes)) * 2).float()
        for stage in STAGES
    }


def runner(logits, seen=None):
    def run(stage, numbers):
        if seen is not None:
            seen.append((stage.kind, numbers.tolist()))
        found = logits[stage][numbers]
        return found.log_softmax(1) if stage.kind == "linear" else found

    return run


@given(seed=st.integers(0, 1000), thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_each_document_is_answered_by_the_first_stage_that_is_sure(seed, thresholds):
    logits = stage_logits(seed)
    cascade = Cascade(STAGES, (thresholds,), 0)
    seen = []
    answers = run_cascade(cascade, 30, runner(logits, seen), classes=3)
    left = set(range(30))
    for number in range(30):
        for place, stage in enumerate(STAGES):
            chances = logits[stage][number].softmax(0)
            best = sorted(chances.tolist())[::-1]
            sure = best[0] - best[1]
            limit = (*thresholds, -1.0)[place]
            if abs(sure - limit) < 1e-6:
                left.discard(number)  # on the edge: either may be
                break
            if sure > limit and limit < 1:
                assert int(answers.stages[number]) == place
                assert answers.logits[number].exp().tolist() == pytest.approx(
                    chances.tolist(), abs=1e-5
                )
                assert float(answers.confidence[number]) == pytest.approx(sure, abs=1e-5)
                break
    kinds = [kind for kind, _ in seen]
    assert kinds == sorted(kinds, key=["linear", "plan", "reference"].index)
    sizes = [len(numbers) for _, numbers in seen]
    assert sizes == sorted(sizes, reverse=True)


def test_a_stage_that_nobody_can_pass_is_not_run():
    seen = []
    logits = stage_logits(0)
    run_cascade(Cascade(STAGES, ((1.0, 1.0),), 0), 30, runner(logits, seen), classes=3)
    assert seen == [("reference", list(range(30)))]
    seen.clear()
    run_cascade(Cascade(STAGES, ((0.2, 0.1),), None), 30, runner(logits, seen), classes=3)
    assert [kind for kind, _ in seen] == ["reference"]


@given(seed=st.integers(0, 1000), weight=st.sampled_from([0.0, 0.4, 2.0]), several=st.booleans())
def test_stacked_answers_are_the_sums_of_slow_equations(seed, weight, several):
    chance, seen = np.random.default_rng(seed), []
    logits, margins = chance.normal(size=(2, 12, 3)) * 3
    stages = (Stage("linear"), Stage("reference", temperature=1.7, weight=weight))
    logs = -np.log1p(np.exp(-margins))
    if not several:
        logs = margins - np.log(np.exp(margins).sum(1, keepdims=True))

    def run(stage, numbers):
        seen.append(stage.kind)
        found = {"linear": logs, "reference": logits}[stage.kind]
        return torch.from_numpy(found).float()[numbers]

    cascade = Cascade(stages, ((0.7,),), 0)
    answers = run_cascade(cascade, 12, run, classes=3, several=several)
    for number in range(12):
        if int(answers.stages[number]) == 0:
            expected = np.exp(logs[number])
        else:
            added = margins[number] if several else logs[number]
            raw = np.exp(logits[number] / 1.7 + weight * added)
            expected = raw / (1 + raw) if several else raw / raw.sum()
        given = answers.logits[number]
        found = (given.sigmoid() if several else given.softmax(0)).tolist()
        assert found == pytest.approx(expected.tolist(), abs=1e-4)
    assert seen.count("linear") == 1  # computed once, whoever needs it
    seen.clear()
    run_cascade(cascade.at(0), 12, run, classes=3, several=several)
    assert sorted(seen) == (["linear", "reference"] if weight else ["reference"])
    alone = Cascade(stages[1:])
    assert alone.needs_linear == bool(weight) and alone.is_alone


def test_of_several_labels_the_least_sure_one_counts():
    logs = torch.tensor([[0.99, 0.6], [0.01, 0.02]]).log()
    assert confidence(logs, several=True).tolist() == pytest.approx([0.2, 0.96])


def test_of_several_labels_those_hold_that_the_stage_gave():
    logits = stage_logits(0)
    run = runner(logits)  # of the linear stage, log-probabilities of a single label
    each_own = lambda stage, rows: (  # noqa: E731
        torch.nn.functional.logsigmoid(logits[stage][rows])
        if stage.kind == "linear"
        else run(stage, rows)
    )
    cascade = Cascade(STAGES, ((0.3, 0.2),), 0)
    answers = run_cascade(cascade, 30, each_own, classes=3, several=True)
    assert len(set(answers.stages.tolist())) == 3
    wanted = torch.stack([logits[STAGES[s]][n] for n, s in enumerate(answers.stages.tolist())])
    torch.testing.assert_close(answers.logits, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": STAGES[:2]}, "must end with the reference"),
        ({"stages": (STAGES[2], STAGES[0], STAGES[2])}, "must end with the reference"),
        ({"path": ((0.5, 1.5),)}, "thresholds from 0 to 1"),
        ({"path": ((0.5,),)}, "2 thresholds"),
        ({"path": ((0.5, 0.5), (0.6, 0.5))}, "never increase"),
        ({"point": 3}, "below 1, the number of points"),
    ],
)
def test_cascades_that_cannot_be_are_refused(change, message):
    fields = {"stages": STAGES, "path": ((0.5, 0.5),), "point": 0} | change
    with pytest.raises(ModelError, match=message):
        Cascade(**fields)


def test_a_cascade_is_plain_data():
    cascade = Cascade(STAGES, ((0.9, 1.0), (0.5, 0.25)), 1)
    assert Cascade.from_dict(cascade.to_dict()) == cascade
    for wrong in ({}, None, cascade.to_dict() | {"version": 4}):
        with pytest.raises(ModelError, match="version"):
            Cascade.from_dict(wrong)
    with pytest.raises(ModelError, match="incomplete"):
        Cascade.from_dict({"version": 2, "stages": [{"kind": "linear"}]})


def test_a_review_is_plain_data_and_older_cascades_have_none():
    proven = prove(["a", "b"], [[1, 0], [1, 1]], [[0, 0], [0, 0]], criterion="error", limits=[0.96])
    made = Cascade(STAGES, ((0.9, 0.5),), 0, None, Review((0.5, 0.1), proven, 0, 1))
    assert Cascade.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.reviewing is made.review and replace(made, point=None).reviewing is None
    assert made.at(0.96, "error") == made and made.at(1, "error").reviewing is None
    with pytest.raises(ModelError, match=r"cascade.review.path must .* never increase"):
        replace(made, review=replace(made.review, path=(0.1, 0.5)))
    with pytest.raises(ModelError, match=r"review.point must be .* below 2, .* got 2"):
        replace(made, review=replace(made.review, point=2))
    old = replace(made, review=None)
    data = {name: value for name, value in old.to_dict().items() if name != "review"}
    assert Cascade.from_dict(data | {"version": 2}) == old


def test_a_limit_that_was_not_certified_is_refused():
    cascade = Cascade(STAGES, ((0.9, 1.0),), 0)
    assert cascade.at(0).is_alone
    with pytest.raises((DataError, ModelError), match="no limit is certified"):
        cascade.at(0.01)
