"""What parts of a plan learn: the mask's gradients, the penalty on the cost, and taking it over."""

from dataclasses import replace

import pytest
import torch

from method_table import METHODS, QUIET, build, pad
from tersely import Plan
from tersely.methods.focus import Combine
from tersely.methods.ltp import LearnedThreshold
from tersely.modeling import with_plan
from tersely.reduction import ColumnMean, DropKeys, DropTokens, Step, Threshold
from tiny import tiny_ids

LENGTHS = [11, 30, 4, 4, 23, 1]


def plan(blocks=None, act=None, **settings) -> Plan:
    select = LearnedThreshold(least=1, pin="first", **({"threshold": 0.9} | settings))
    return Plan(
        "learned", (Step(act or DropTokens(), blocks or {"start": 0}, ColumnMean(), select),)
    )


def batch() -> dict:
    return pad(tiny_ids(LENGTHS)) | {"labels": torch.tensor([0, 1, 2, 0, 1, 2])}


def test_training_computes_what_use_computes():
    """Losers are really gone in training, and the masks that stand for gradients are exactly 1."""
    model = build(plan(target=0.5), **QUIET).train()
    learning = model(**batch(), output_trace=True)
    model.eval()
    with torch.no_grad():
        used = model(**batch(), output_trace=True)
    torch.testing.assert_close(learning.logits, used.logits)
    assert learning.trace.tokens_alive() == used.trace.tokens_alive()
    assert used.penalty is None
    assert learning.loss.item() == pytest.approx((used.loss + learning.penalty).item(), rel=1e-5)


@pytest.mark.parametrize(
    "more", [(), (Step(DropKeys(), 0, ColumnMean(), Threshold(least=1, threshold=3.0)),), "combine"]
)
def test_the_penalty_is_on_the_macs_of_the_trace(more):
    combining = more == "combine"
    one = plan(blocks=[1, 2], target=0.25, strength=3.0)
    more = (Step(Combine(tokens=2), 3),) if combining else more
    model = build(replace(one, steps=(*one.steps, *more)), **QUIET).eval()
    dense = build(METHODS["dense"]).eval()
    with torch.no_grad():
        taken = model(**batch(), output_trace=True).trace
        whole = dense(**batch(), output_trace=True).trace
    others = taken.other_macs
    ratio = taken.macs / (whole.encoder_macs + others)
    penalty = model.train()(**batch()).penalty
    assert penalty.item() == pytest.approx(3.0 * (ratio - 0.25) ** 2, rel=1e-5)


def test_gradients_of_the_shares_are_those_of_the_sigmoids():
    model = build(plan(blocks=2, target=0.0001, strength=1.0, temperature=0.7), **QUIET).train()
    output = model(**batch(), output_trace=True)
    output.penalty.backward()
    module = model.learned["2"]["select"]
    importance = output.trace.blocks[2].importance.values[:, 0]
    layout = output.trace.blocks[2].importance.layout
    threshold = module.threshold.detach().clone().requires_grad_()
    soft = torch.sigmoid((importance - threshold) / 0.7)
    soft = torch.where(layout.positions == 0, 1.0, soft)  # [CLS] is pinned
    feed_forward = model.backbone.cost_of_block(2)[1]
    attention = model.backbone.cost_of_block(3)[0]
    kept = torch.tensor(output.trace.blocks[2].transformed, dtype=torch.float32)
    total = 0.0
    for document, own in enumerate(soft.split(layout.sizes)):
        left = own.sum() - own.sum().detach() + kept[document]
        taken = left * (feed_forward + attention + feed_forward) + 2 * 32 * left.square()
        total = total + taken
    total.backward()
    with torch.no_grad():
        whole = build(METHODS["dense"]).eval()(**batch(), output_trace=True).trace
    ratio = (output.penalty**0.5 + 0.0001).item()
    # d/dt (ratio − target)²
    expected = 2 * (ratio - 0.0001) * threshold.grad / whole.macs
    torch.testing.assert_close(module.threshold.grad, expected, rtol=1e-4, atol=1e-8)


def test_what_was_learned_is_taken_over_by_the_same_part_at_the_same_block():
    old = build(plan(blocks=[0, 1]))
    with torch.no_grad():
        old.learned["1"]["select"].threshold.fill_(0.123)
    new = with_plan(old, plan(blocks=[1, 2], target=0.3, threshold=0.8))
    assert new.learned["1"]["select"].threshold.item() == pytest.approx(0.123)
    assert new.learned["2"]["select"].threshold.item() == pytest.approx(0.8)
    assert len(with_plan(old, Plan("dense")).learned) == 0
