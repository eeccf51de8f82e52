"""The combining module agrees with its equations, in inference and in training, gradients too."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_bert import combine_document
from torch import Tensor

from tersely.methods.focus import Combiner
from tersely.ragged import Layout

WIDTH = 6


def make_combiner(tokens: int, temperature: float = 1.0) -> Combiner:
    """In double precision, with no parameter at its neutral start."""
    module = Combiner(WIDTH, tokens, temperature).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def make_batch(lengths: list[int], tokens: int) -> tuple[Tensor, Layout, Tensor]:
    layout = Layout.from_lengths(lengths)
    embedded = torch.randn(layout.tokens, WIDTH, dtype=torch.double)
    return embedded, layout, torch.randn(len(lengths), tokens, WIDTH, dtype=torch.double)


def slow(
    module: Combiner, embedded: Tensor, layout: Layout, combination: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    own, noises = embedded.split(layout.sizes), noise.split(layout.sizes)
    parts = zip(own, combination, noises, strict=True)
    combined, groups = zip(*(combine_document(module, *part) for part in parts), strict=True)
    return torch.stack(combined), torch.cat(groups)


@pytest.fixture
def gumbel(monkeypatch):
    """Noise `(tokens, m)` that the module draws in pieces and the reference gets whole."""

    def fix(tokens: int, groups: int) -> Tensor:
        uniform = torch.rand(tokens, groups, dtype=torch.double).clamp(0.01, 0.99)
        drawn = 0

        def rand_like(logits: Tensor) -> Tensor:
            nonlocal drawn
            piece = uniform[drawn : drawn + logits[..., 0].numel()]
            drawn += len(piece)
            return piece.view(logits.shape).clone()

        monkeypatch.setattr(torch, "rand_like", rand_like)
        return -torch.log(-torch.log(uniform))

    return fix


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    tokens=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_inference_agrees_with_the_equations(lengths, tokens, seed):
    torch.manual_seed(seed)
    module = make_combiner(tokens).eval()
    batch = make_batch(lengths, tokens)
    combined, groups = module(*batch)
    noise = torch.zeros(sum(lengths), tokens, dtype=torch.double)
    expected, expected_groups = slow(module, *batch, noise)
    assert torch.equal(groups, expected_groups)
    torch.testing.assert_close(combined, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("lengths", [[4], [3, 3, 1], [1, 6, 6, 2]])
def test_training_agrees_with_the_equations_and_so_do_all_gradients(gumbel, lengths, temperature):
    module = make_combiner(3, temperature).train()
    embedded, layout, combination = make_batch(lengths, 3)
    embedded.requires_grad_()
    combination.requires_grad_()
    noise = gumbel(sum(lengths), 3)
    combined, groups = module(embedded, layout, combination)
    expected, expected_groups = slow(module, embedded, layout, combination, noise)
    assert torch.equal(groups, expected_groups)
    torch.testing.assert_close(combined, expected, rtol=1e-9, atol=1e-9)

    # `tokens` is where the combination tokens come from; the module itself does not read it.
    names, wanted = zip(
        *((name, p) for name, p in module.named_parameters() if name != "tokens"), strict=True
    )
    weights = torch.randn_like(combined)
    got = torch.autograd.grad((combined * weights).sum(), [*wanted, embedded, combination])
    reference = torch.autograd.grad((expected * weights).sum(), [*wanted, embedded, combination])
    for name, ours, theirs in zip([*names, "ê", "ĉ"], got, reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: n + m)
