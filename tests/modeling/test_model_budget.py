"""A target for the MACs is reached, or refused with what can be reached."""

import re
from contextlib import nullcontext
from dataclasses import replace

import pytest

from tersely import Classifier, Plan, TrainingSettings, preset
from tersely.attention import banded
from tersely.errors import PlanError, TerselyWarning
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification, with_plan
from tersely.modeling.budget import plan_for_target
from tersely.modeling.inference import run_model
from tersely.reduction import Range, budget_option
from tiny import tiny_config
from words import PLAIN, long_documents

QUICK = TrainingSettings(epochs=1, learning_rate=1e-3, batch_tokens=512, seed=1, **PLAIN)
# Documents are short here, and would otherwise keep most of their tokens.
FLOORLESS = {"least": 1}
BY_SHARES = ("topk", "threshold", "lat", "tome", "fca", "pool", "random", "truncate")


@pytest.fixture(scope="module")
def dense(encoder):
    return Classifier(encoder, method="dense").fit(*long_documents(), settings=QUICK)


def share(classifier, dense, texts):
    costs = [one.forward(one.encode(texts)).macs for one in (classifier, dense)]
    return costs[0] / costs[1]


@pytest.mark.parametrize("method", BY_SHARES)
def test_methods_that_remove_tokens_land_within_five_percent_on_other_documents(dense, method):
    plan = plan_for_target(dense.model, method, FLOORLESS, 0.6, dense.encode(long_documents()[0]))
    held_out = dense.encode(long_documents(30, seed=9)[0])
    macs = run_model(with_plan(dense.model, plan), held_out, 4096).macs
    assert macs / dense.forward(held_out).macs == pytest.approx(0.6, rel=0.05)


@pytest.mark.parametrize(
    ("method", "target", "far"), [("fewer-layers", 0.5, False), ("focus-c", 0.6, True)]
)
def test_methods_that_move_blocks_take_the_nearest_and_say_so_where_it_is_far(
    dense, method, target, far
):
    encoded = dense.encode(long_documents()[0])
    said = pytest.warns(TerselyWarning, match="the nearest that") if far else nullcontext()
    with said:
        plan = plan_for_target(dense.model, method, {}, target, encoded)
    name, values = budget_option(method, 4)
    whole = dense.forward(encoded).macs

    def cost(value):
        model = with_plan(dense.model, preset(method, **{name: value}))
        return run_model(model, encoded, 4096).macs / whole

    best = min(values, key=lambda value: abs(cost(value) - target))
    assert plan == preset(method, **{name: best})


def of_blocks(blocks):
    encoder = tiny_config("bert", num_hidden_layers=blocks)
    config = TerselyConfig(encoder_config=encoder, num_labels=3)
    return TerselyForSequenceClassification(config).eval()


@pytest.mark.parametrize(
    ("method", "blocks", "expected"),
    [
        ("focus-c", 3, (0, 1)),
        ("focus-pfc", 2, (0,)),
        ("fewer-layers", 2, (0.5, 1.0)),
        ("fewer-layers", 1, (1.0,)),
    ],
)
def test_a_list_of_one_or_two_blocks_is_no_range(dense, method, blocks, expected):
    model, encoded = of_blocks(blocks), dense.encode(long_documents()[0])
    name, values = budget_option(method, blocks)
    assert values == expected and not isinstance(values, Range)
    whole = run_model(model, encoded, 4096).macs
    for value in values:
        planned = with_plan(model, preset(method, **{name: value}))
        target = min(0.999, run_model(planned, encoded, 4096).macs / whole)
        plan = plan_for_target(model, method, {}, target, encoded)
        assert plan == planned.config.reduction_plan()
    with pytest.raises(PlanError, match=f"target_flops must be between .* for {method!r}"):
        plan_for_target(model, method, {}, 0.01, encoded)


@pytest.mark.parametrize(
    ("method", "options", "target", "message"),
    [
        ("topk", {}, 0.01, r"must be between 0\.\d\d and 1\.\d\d for 'topk'.*got 0.01"),
        ("topk", {"keep": 0.5}, 0.5, "target_flops chooses keep, got keep=0.5"),
        ("topk", {}, 1.5, "target_flops must be a number between 0 and 1, got 1.5"),
        ("neighbours", {}, 0.1, r"between 1\.00 and 1\.00 for 'neighbours' on these documents"),
        ("dense", {}, 0.5, "target_flops needs one of the methods .*, got 'dense'"),
    ],
)
def test_targets_that_no_setting_reaches_are_refused(dense, method, options, target, message):
    encoded = dense.encode(long_documents()[0])
    with pytest.raises(PlanError, match=message):
        plan_for_target(dense.model, method, options, target, encoded)


def test_windows_are_set_where_documents_are_long_for_them(dense, monkeypatch):
    # As if these documents were long: a band is computed in blocks of four tokens.
    monkeypatch.setattr(banded, "_SMALLEST", 4)
    monkeypatch.setattr(banded, "_LARGEST", 4)
    encoded = dense.encode(long_documents()[0])
    with pytest.raises(PlanError, match="between") as refused:
        plan_for_target(dense.model, "neighbours", {}, 0.05, encoded)
    lowest = float(re.search(r"between (0\.\d\d) and 1\.00", str(refused.value))[1])
    plan = plan_for_target(dense.model, "neighbours", {}, lowest + 0.01, encoded)
    assert plan == preset("neighbours", width=8)


def test_a_plan_of_ones_own_has_no_option_to_set(encoder):
    with pytest.raises(PlanError, match="for a preset's name, got a plan of your own"):
        Classifier(encoder, method=Plan("mine"), target_flops=0.5)


LEARNED = ("ltp", "ltp-paper", "power-bert", "transkimmer", "adapler")


# Training moves the scores that thresholds are compared with, and lat's shares change by the step.
@pytest.mark.parametrize("method", ["topk", "threshold", "lat", *LEARNED])
def test_what_was_trained_for_a_target_lands_there_and_ends_as_a_plain_plan(
    encoder, dense, method, tmp_path
):
    # A predictor that has hardly learned finds one word as important as another.
    epochs = 16 if method == "transkimmer" else 2 if method in LEARNED else 1
    classifier = Classifier(encoder, method=method, method_options=FLOORLESS, target_flops=0.6)
    classifier.fit(*long_documents(), settings=replace(QUICK, epochs=epochs))
    assert share(classifier, dense, long_documents(30, seed=9)[0]) == pytest.approx(0.6, rel=0.05)
    plan = classifier.plan
    assert classifier.model.config.reduction_plan() == plan != preset(method)
    assert not plan.is_soft and not plan.steps[0].select.learns
    assert ("soft_stage" in classifier.training) == preset(method).is_soft
    taught = any(stage.name == "saliency" for stage in preset(method).stages())
    assert ("saliency_stage" in classifier.training) == taught
    texts = long_documents(5, seed=3)[0]
    loaded = Classifier.from_pretrained(classifier.save(tmp_path))
    assert loaded.plan == plan
    assert (loaded.logits(texts) == classifier.logits(texts)).all()


def test_thresholds_are_learned_and_not_only_set(encoder):
    settings = replace(QUICK, epochs=6, batch_tokens=256)
    classifier = Classifier(encoder, method="ltp", method_options=FLOORLESS).fit(
        *long_documents(), settings=settings
    )
    learned = classifier.plan.steps[0].select.thresholds
    line = [learned[-1] * number / 4 for number in (1, 2, 3, 4)]
    assert learned != pytest.approx(line, rel=0.02), "as they started, up to a factor"
