"""Learned degrees: their weights, the share they connect, and what they are frozen to."""

import math

import pytest
import torch

from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.patterns import Neighbours
from tersely.ragged import Layout
from tersely.reduction import Spent, Stream

LENGTHS = [9, 4, 1]


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
