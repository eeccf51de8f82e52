"""Training for all budgets at once: which lengths a step runs, and what is learned from what."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tersely import Classifier, Plan, TrainingSettings, preset
from tersely.methods.lat import LengthDrop
from tersely.modeling import with_plan
from tersely.reduction import ColumnMean, DropKeys, DropTokens, Ratio, Step
from tersely.training.distillation import draw_plans, shorter_loss
from words import PLAIN, documents, quiet

QUICK = TrainingSettings(epochs=2, learning_rate=5e-3, batch_tokens=128, seed=1, **PLAIN)


@pytest.fixture(scope="module")
def lat(encoder):
    classifier = Classifier(encoder, method="lat", method_options={"keep": 0.6, "least": 1})
    return classifier.fit(documents(), settings=QUICK)


def test_a_step_runs_the_smallest_and_random_lengths(lat):
    full, smallest, *drawn = draw_plans(lat.plan, 4, 3, 5, 7)
    assert smallest == lat.plan and full.is_dense
    again, other = (draw_plans(lat.plan, 4, 3, 5, number) for number in (7, 8))
    assert len(drawn) == 3 and again == [full, smallest, *drawn] != other
    for plan in drawn:
        shares = [step.select.keep for step in plan.steps]
        assert [step.blocks for step in plan.steps] == [0, 1, 2, 3]
        assert all(0.6 <= share <= 1 for share in shares) and len(set(shares)) == 4
        assert all(isinstance(step.select, LengthDrop) for step in plan.steps)


def test_choosing_at_the_input_has_random_budgets_where_they_are_asked_for():
    plan = preset("choose", keep=0.1, random_budgets=True)
    full, smallest, *drawn = draw_plans(plan, 4, 2, 0, 0)
    assert full.is_dense and smallest == plan and not draw_plans(preset("choose"), 4, 2, 0, 0)
    shares = [each.steps[0].select.keep for each in drawn]
    assert all(each.steps[0].blocks == "input" for each in drawn)
    assert all(0.1 <= share <= 1 for share in shares) and len(set(shares)) == 2


def test_other_steps_of_the_plan_stay_in_every_length():
    keys = Step(DropKeys(), 0, ColumnMean(), Ratio(least=1, keep=0.9))
    random = Step(DropTokens(), [1, 2], ColumnMean(), LengthDrop(least=1, keep=0.5, pin="first"))
    plan = Plan("mixed", (keys, random))
    full, _, drawn = draw_plans(plan, 4, 1, 0, 0)
    assert full.steps == (keys,)
    assert [step.blocks for step in drawn.steps] == [0, 1, 2] and drawn.steps[0] == keys
    assert not draw_plans(Plan("keys", (keys,)), 4, 1, 0, 0)


@pytest.mark.parametrize("taught", [False, True])
def test_the_loss_of_a_step_is_the_papers(lat, make_trainer, taught):
    teacher = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    model = quiet(lat.model)
    trainer, train = make_trainer(model, QUICK, teacher if taught else None)
    trainer.state.global_step = 3
    numbers = [0, 5, 9, 12]
    got = trainer.compute_loss(model, train.collate(numbers))

    batch = {k: v for k, v in train.collate(numbers).items() if k != "teacher_logits"}
    # Models of their own with copies of the weights, built for each configuration.
    full = quiet(with_plan(model, preset("dense")))(**batch)
    own = full.loss
    if taught:
        t = QUICK.temperature
        target = torch.softmax(torch.from_numpy(teacher[numbers]) / t, -1)
        far = (target * (target.log() - torch.log_softmax(full.logits / t, -1))).sum(-1).mean()
        own = 0.5 * own + 0.5 * far * t * t
    target = torch.softmax(full.logits.detach(), -1)
    losses = [own]
    for plan in draw_plans(lat.plan, 4, 2, QUICK.seed, 3)[1:]:
        logits = quiet(with_plan(model, plan))(**batch).logits
        # KL(full ‖ shorter): the shorter one learns, the full one is the target.
        losses.append((target * (target.log() - torch.log_softmax(logits, -1))).sum(-1).mean())
    expected = sum(losses) / 4 * len(numbers) / trainer.documents_per_step
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses[1] > 0 and len(losses) == 4


def test_the_shorter_ones_teach_the_full_one_nothing(lat):
    model = quiet(lat.model)
    inputs = {"input_ids": torch.randint(4, 40, (2, 9))}
    output = model(**inputs, plans=draw_plans(lat.plan, 4, 0, 0, 0))
    loss = shorter_loss(output.logits, output.shorter_logits, "single_label_classification")
    unused = torch.autograd.grad(loss, output.logits, allow_unused=True, retain_graph=True)
    assert unused == (None,)
    assert torch.autograd.grad(loss, model.head.classifier.weight)[0].abs().max() > 0


def test_all_lengths_go_through_the_wrapper_of_the_model(lat, make_trainer):
    """Likely fault of the review: under torchrun, `lat` ran the bare model beside DDP's wrapper."""

    class Wrapper(torch.nn.Module):
        calls = 0

        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, **inputs):
            self.calls += 1
            return self.module(**inputs)

    model = lat.model.train()
    trainer, train = make_trainer(model, QUICK)
    inner, seen = model.forward, []
    wrapper = Wrapper(model)
    try:
        model.forward = lambda **inputs: seen.append(wrapper.calls) or inner(**inputs)
        trainer.compute_loss(wrapper, train.collate([0, 1])).backward()
    finally:
        del model.forward
    assert wrapper.calls == 1 and seen == [1], "one pass of the wrapper, none beside it"


@pytest.mark.parametrize("method", ["lat", "choose"])
def test_it_learns_and_all_its_budgets_tell_the_labels_apart(encoder, method):
    settings = replace(QUICK, epochs=16, dense_share=0.5, seed=0)
    options = {"keep": 0.6, "least": 1}
    options |= {"random_budgets": True} if method == "choose" else {}
    classifier = Classifier(encoder, method=method, method_options=options)
    classifier.fit(documents(120), settings=settings)
    for keep in (0.6, 0.8, 1.0):
        accuracy = classifier.with_options(keep=keep).evaluate(documents(60, seed=9))["accuracy"]
        assert accuracy > 0.6, keep
