"""Learned degrees: their weights, the share they connect, and what they are frozen to."""

from __future__ import annotations

import math

import pytest
import torch

from tersely.errors import PlanError
from tersely.methods.breaking_bert import Degrees, LearnedNeighbours, Span
from tersely.methods.patterns import Neighbours, Union
from tersely.ragged import Layout
from tersely.reduction import Plan, Spent, Step, Stream

LENGTHS = [9, 4, 1]


def stream_of(lengths) -> Stream:
    layout = Layout.from_lengths(lengths)
    states = torch.zeros(layout.tokens, 1)
    return Stream(states, layout, layout.positions, lengths=layout.lengths)


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
    if isinstance(module, Span):
        over = (float(module.span[head]) * module.most - distance) / module.ramp + 1
        return max(0.0, min(1.0, over)) if distance <= module.most else 0.0
    exponentials = [math.exp(float(logit)) for logit in module.logits[head]]
    reached = [e for e, degree in zip(exponentials, module.grid, strict=True) if degree >= distance]
    return sum(reached) / sum(exponentials)


CASES = [
    LearnedNeighbours(most=6),
    LearnedNeighbours(most=6, heads="each", cls=False),
    LearnedNeighbours(by="ramp", most=6, ramp=3),
    LearnedNeighbours(by="ramp", most=11, ramp=2, heads="each"),
]


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_weights_and_shares_are_those_of_the_definition(pattern):
    module, stream = learned_module(pattern), stream_of(LENGTHS)
    connections = pattern.connect(stream, module)
    heads = 3 if pattern.heads == "each" else 1
    shares = []
    for number, length in enumerate(LENGTHS):
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
                    distance = abs(query - key)
                    expected[head, query, key] = (
                        1.0 if free else slow_weight(module, head, distance)
                    )
        torch.testing.assert_close(weights[0], expected)
        assert torch.equal(connections.sees(*pairs)[0], expected > 0)
        shares.append(float(expected.mean()))
    share = pattern.share(module, stream.lengths)
    torch.testing.assert_close(float(share), sum(shares) / len(shares))


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_the_start_connects_nearly_everybody_in_reach(pattern):
    tails = pattern.module(8, 3).tails()
    assert (tails[:, : pattern.most + 1] > 0.95).all() and (tails[:, -1] == 0).all()


@pytest.mark.parametrize("most", [60, 200])
@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_the_penalty_drives_the_sparsity_to_its_target_and_freezing_keeps_it(pattern, most):
    pattern = type(pattern)(**{**vars(pattern), "most": most, "ramp": 4, "target": 0.6})
    modules = [pattern.module(8, 3) for _ in range(2)]
    lengths = torch.tensor([60, 60, 60])
    groups = [{"params": list(m.parameters()), "lr": m.learning_rate} for m in modules]
    optimizer = torch.optim.Adam(groups)
    for _ in range(300):
        shares = [pattern.share(module, lengths) for module in modules]
        penalty = pattern.penalty(Spent(torch.tensor(1.0), shares=shares))
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
    reached = 1 - torch.stack(shares).mean().item()
    assert reached == pytest.approx(0.6, abs=0.01)
    frozen = pattern.frozen(modules)
    assert isinstance(frozen, Neighbours) and frozen.cls == pattern.cls
    assert all(isinstance(width, list) == (pattern.heads == "each") for width in frozen.widths)
    widths = torch.tensor(frozen.widths).view(2, -1)
    stream = stream_of([60])
    rows = torch.arange(60)
    connected = []
    for number in range(2):
        own = frozen.at_block(number + 1, 2)
        own.check_heads(3)
        seen = own.connect(stream).sees(rows[None, None, :, None], rows[None, None, None, :])
        connected.append(float(seen.float().mean()))
    assert 1 - sum(connected) / 2 == pytest.approx(0.6, abs=0.02), widths


def test_the_span_does_not_leave_its_bounds():
    module = Span(10, 2, 4)
    with torch.no_grad():
        module.span.copy_(torch.tensor([1.7, -0.4]))
    module.tails()
    assert module.span.tolist() == [1.0, 0.0]


def test_degrees_lie_on_a_grid_that_widens():
    assert Degrees(20, 1).grid == [0, 1, 2, 3, 4, 6, 8, 11, 16, 20]


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: Union(of=[LearnedNeighbours()]), "a list of patterns that do not learn"),
        (
            lambda: Plan("two", [Step(LearnedNeighbours(), layer) for layer in (0, 1)]),
            "steps may hold one learned pattern at most, got 2",
        ),
        (lambda: Neighbours(widths=[1], width=2), "widths must be given without width and share"),
        (lambda: Neighbours(widths=[1, -1]), "widths must be whole numbers of 0 or more, got -1"),
        (
            lambda: Plan("few", [Step(Neighbours(widths=[1, 2]), {"start": 0})]).resolve(3),
            "widths must hold one width for each of the step's 3 blocks, got 2",
        ),
    ],
)
def test_wrong_settings_are_refused(make, fragment):
    with pytest.raises(PlanError) as caught:
        make()
    assert fragment in str(caught.value)


@pytest.mark.parametrize("pattern", CASES[:2], ids=str)
def test_what_was_learned_half_way_lands_on_the_target_and_keeps_its_order(pattern):
    pattern = type(pattern)(**{**vars(pattern), "most": 200, "target": 0.8})
    modules = [pattern.module(8, 3) for _ in range(2)]
    with torch.no_grad():
        modules[1].logits[:, :8] += 6.0  # the second block has learned to look less far
    for module in modules:
        module.length.fill_(100.0)
    frozen = pattern.frozen(modules)
    stream, rows, sparsity = stream_of([100]), torch.arange(100), []
    for number in (1, 2):
        seen = (
            frozen.at_block(number, 2)
            .connect(stream)
            .sees(rows[None, None, :, None], rows[None, None, None, :])
        )
        sparsity.append(1 - seen.float().mean().item())
    assert sum(sparsity) / 2 == pytest.approx(0.8, abs=0.02)
    assert sparsity[1] > sparsity[0] + 0.05
