"""What parts of a plan learn: the mask's gradients, the penalty on the cost, and taking it over."""

import math
from dataclasses import replace

import pytest
import torch

from method_table import METHODS, QUIET, build, pad
from tersely import Plan
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.focus import Combine
from tersely.methods.ltp import LearnedThreshold
from tersely.methods.patterns import Neighbours
from tersely.modeling import with_plan
from tersely.ragged import Layout
from tersely.reduction import ColumnMean, DropKeys, DropTokens, Spent, Step, Stream, Threshold
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


# ---- learned degrees: their weights, the share they connect, and what they are frozen to -------

SHORT = [9, 4, 1]


def stream_of(lengths) -> Stream:
    layout = Layout.from_lengths(lengths)
    states = torch.zeros(layout.tokens, 1)
    return Stream(states, layout, layout.positions, lengths=layout.lengths)


def sparsity_of(pattern, stream: Stream) -> float:
    rows = torch.arange(stream.layout.tokens)
    seen = pattern.connect(stream).sees(rows[None, None, :, None], rows[None, None, None, :])
    return 1 - seen.float().mean().item()


def learned_module(pattern, heads=3, seed=0):
    module = pattern.module(8, heads)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return module.double().requires_grad_(False)


def slow_weight(module, head: int, distance: int) -> float:
    """The weight of a connection, from its definition."""
    if distance == 0:
        return 1.0
    exponentials = [math.exp(float(logit)) for logit in module.logits[head]]
    reached = [e for e, degree in zip(exponentials, module.grid, strict=True) if degree >= distance]
    return sum(reached) / sum(exponentials)


CASES = [LearnedNeighbours(most=6), LearnedNeighbours(most=6, heads="each", cls=False)]


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_weights_and_shares_are_those_of_the_definition(pattern):
    module, stream = learned_module(pattern), stream_of(SHORT)
    connections = pattern.connect(stream, module)
    heads = 3 if pattern.heads == "each" else 1
    shares = []
    for number, length in enumerate(SHORT):
        start = int(stream.layout.offsets[number])
        rows = torch.arange(start, start + length)
        pairs = (rows[None, None, :, None], rows[None, None, None, :])
        weights = connections.logs(*pairs).exp()
        assert weights.shape == (1, heads, length, length)
        expected = torch.zeros(heads, length, length, dtype=torch.double)
        for head in range(heads):
            for query in range(length):
                for key in range(length):
                    free = pattern.cls and 0 in (query, key)
                    weight = 1.0 if free else slow_weight(module, head, abs(query - key))
                    expected[head, query, key] = weight
        torch.testing.assert_close(weights[0], expected)
        assert torch.equal(connections.sees(*pairs)[0], expected > 0)
        shares.append(float(expected.mean()))
    share = pattern.share(module, stream.lengths)
    torch.testing.assert_close(float(share), sum(shares) / len(shares))


@pytest.mark.parametrize("most", [60, 200])
@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_the_penalty_drives_the_sparsity_to_its_target_and_freezing_keeps_it(pattern, most):
    pattern = type(pattern)(**{**vars(pattern), "most": most, "target": 0.6})
    modules = [pattern.module(8, 3) for _ in range(2)]
    lengths = torch.tensor([60, 60, 60])
    groups = [{"params": list(m.parameters()), "lr": m.learning_rate} for m in modules]
    optimizer = torch.optim.Adam(groups)
    for _ in range(300):
        shares = [pattern.share(module, lengths) for module in modules]
        penalty = pattern.penalty(Spent(torch.tensor(1.0), [], shares))
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
    reached = 1 - torch.stack(shares).mean().item()
    assert reached == pytest.approx(0.6, abs=0.01)
    frozen = pattern.frozen(modules)
    assert isinstance(frozen, Neighbours) and frozen.cls == pattern.cls
    assert all(isinstance(width, list) == (pattern.heads == "each") for width in frozen.widths)
    for number in (1, 2):
        frozen.at_block(number, 2).check_heads(3)
    reached = [sparsity_of(frozen.at_block(number, 2), stream_of([60])) for number in (1, 2)]
    assert sum(reached) / 2 == pytest.approx(0.6, abs=0.02), frozen.widths


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_what_was_learned_half_way_lands_on_the_target_and_keeps_its_order(pattern):
    pattern = type(pattern)(**{**vars(pattern), "most": 200, "target": 0.8})
    modules = [pattern.module(8, 3) for _ in range(2)]
    with torch.no_grad():
        modules[1].logits[:, :8] += 6.0  # the second block has learned to look less far
    for module in modules:
        module.length.fill_(100.0)
    frozen = pattern.frozen(modules)
    sparsity = [sparsity_of(frozen.at_block(number, 2), stream_of([100])) for number in (1, 2)]
    assert sum(sparsity) / 2 == pytest.approx(0.8, abs=0.02)
    assert sparsity[1] > sparsity[0] + 0.05
