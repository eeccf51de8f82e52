"""One classifier at several budgets, chosen when it predicts, and at whom its warnings point."""

from itertools import pairwise

import numpy as np
import pytest

from tersely import Classifier, TrainingSettings, preset
from tersely.errors import PlanError, TerselyWarning
from tersely.reduction import find_preset, plan_share
from tersely.text import Documents
from words import PLAIN, labelled, long_documents

QUICK = TrainingSettings(epochs=2, learning_rate=1e-3, batch_tokens=512, **PLAIN)


def trained(encoder, method, **options):
    # Documents are short here, and would otherwise keep most of their tokens.
    floor = {"least": 1} if "least" in find_preset(method).options else {}
    classifier = Classifier(encoder, method=method, method_options=floor | options)
    return classifier.fit(*long_documents(), settings=QUICK)


@pytest.fixture(scope="module")
def lat(encoder):
    return trained(encoder, "lat", keep=0.6)


@pytest.fixture(scope="module")
def whole(encoder):
    return trained(encoder, "dense")


def cost(classifier, texts):
    return classifier.forward(classifier.encode(texts)).macs


def test_one_checkpoint_serves_several_budgets(lat, tmp_path):
    loaded = Classifier.from_pretrained(lat.save(tmp_path))
    texts, _ = long_documents(30, seed=9)
    whole = cost(loaded.with_options(keep=1.0), texts)
    logits = []
    for budget in (0.5, 0.7, 0.9):
        set_to = loaded.with_budget(budget, texts)
        assert cost(set_to, texts) / whole == pytest.approx(budget, rel=0.04)
        assert set_to.plan == set_to.model.config.reduction_plan() != loaded.plan
        assert set_to.model.encoder is loaded.model.encoder
        logits.append(set_to.logits(texts))
    assert all(np.abs(one - other).max() > 1e-4 for one, other in pairwise(logits))
    assert loaded.plan == preset("lat", keep=0.6, least=1) == loaded.model.config.reduction_plan()


def test_what_was_not_trained_for_is_warned_about(lat, encoder):
    with pytest.warns(TerselyWarning, match=r"trained down to keep=0\.6 and runs with keep=0\.3"):
        lower = lat.with_options(keep=0.3)
    with pytest.warns(TerselyWarning, match=r"down to keep=0\.6 and runs with keep=0\.4"):
        lower.with_options(keep=0.4)  # still against what was trained
    with pytest.warns(TerselyWarning, match=r"with ratio=0\.2 and .* ratio=0\.1.*random_budgets"):
        tome = trained(encoder, "tome").with_options(ratio=0.1)
    assert plan_share(tome.plan, 4)[1] == 0.1


def test_thresholds_that_were_learned_are_moved_together(encoder, whole):
    classifier = trained(encoder, "ltp", target=0.7)
    texts, _ = long_documents(30, seed=9)
    with pytest.warns(TerselyWarning, match=r"trained with numbers of its own .*\(ltp\)"):
        set_to = classifier.with_budget(0.5, texts)
    assert cost(set_to, texts) / cost(whole, texts) == pytest.approx(0.5, rel=0.05)
    mine, other = (c.plan.steps[0].select.thresholds for c in (classifier, set_to))
    assert np.ptp(np.array(other) / np.array(mine)) < 1e-6
    with pytest.raises(PlanError, match="threshold cannot be changed in the plan 'ltp'"):
        classifier.with_options(threshold=0.5)


def test_budgets_that_cannot_be_are_refused(lat, whole, encoder):
    texts, _ = long_documents(12)
    for classifier, budget, said in (
        (lat, 0.01, r"budget must be between 0\.\d\d and 1\.0\d for 'lat'"),
        (lat, 1, "budget must be a number between 0 and 1, got 1"),
        (whole, 0.5, "a plan that keeps a share of .*got 'dense'"),
        (trained(encoder, "focus-pfc"), 0.5, "needs block 1, .*built for the plan 'focus-pfc'"),
    ):
        with pytest.raises(PlanError, match=said):
            classifier.with_budget(budget, texts)


def test_a_saved_model_runs_at_another_share(lat, tmp_path):
    lat.save(tmp_path)
    loaded = Classifier.from_pretrained(tmp_path).with_options(keep=0.8)
    texts, _ = long_documents(9)
    assert np.array_equal(loaded.logits(texts), lat.with_options(keep=0.8).logits(texts))


CALLS = {
    "fit": lambda c, _: c.fit(*labelled(30, words=40), settings=QUICK),
    "encode": lambda c, _: c.encode([" ".join(["cat"] * 30), "☃"]),
    "with_options": lambda c, _: c.with_options(keep=0.3),
    "with_budget": lambda c, _: c.with_budget(0.5, ["cat dog rain word1 word2 word3"] * 4),
    "save": lambda c, folder: c.save(folder),
    "evaluate": lambda c, _: c.evaluate(Documents.from_lists(*labelled(9, words=40))),
}


def short(encoder):
    options = {"method_options": {"keep": 0.6, "least": 1}, "max_length": 14}
    return Classifier(encoder, method="lat", **options)


@pytest.fixture(scope="module")
def fitted(encoder):
    return short(encoder).fit(*labelled(30, words=10), settings=QUICK)


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_points_at_the_users_line(encoder, fitted, tmp_path, name):
    (tmp_path / "README.md").write_text("# Somebody else's card\n")
    call = CALLS[name]
    with pytest.warns(TerselyWarning) as said:
        call(short(encoder) if name == "fit" else fitted, tmp_path)
    # The lambdas are the users here: one line each.
    lines = {(each.filename, each.lineno) for each in said}
    assert lines == {(__file__, call.__code__.co_firstlineno)}
