"""Scores on one scale: mean 1 in each document, and finite whatever they are; and the controls."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.methods.controls import Position, RandomScore
from tersely.ragged import Layout
from tersely.reduction import ColumnMean, Observed, Stream, preset
from tersely.reduction.scorers import to_mean_one


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 99), st.integers(0, 40))
def test_each_document_has_mean_one_or_no_score_at_all(lengths, seed, small):
    layout = Layout.from_lengths(lengths)
    scores = torch.rand(layout.tokens, 2, generator=torch.Generator().manual_seed(seed))
    scores = (scores + 0.1) * 10.0**-small
    # The first document of the first column knows nothing of its tokens.
    scores[: lengths[0], 0] = 0
    scaled = to_mean_one(scores, layout)
    assert scaled.isfinite().all()
    for number, document in enumerate(scaled.split(lengths)):
        if len(document):
            expected = [float(number > 0), 1.0]
            if small < 36:  # smaller ones are no longer told from 0
                assert document.mean(0).tolist() == pytest.approx(expected, rel=1e-4)


def test_gradients_of_scores_that_are_all_zero_are_finite():
    scores = torch.zeros(5, 1, requires_grad=True)
    to_mean_one(scores, Layout.from_lengths([4, 1])).sum().backward()
    assert scores.grad.isfinite().all()


def observed(lengths: list[int]) -> Observed:
    layout = Layout.from_lengths(lengths)
    generator = torch.Generator().manual_seed(0)
    after = torch.randn(layout.tokens, 4, generator=generator)
    stream = Stream(after, layout, layout.positions, lengths=layout.lengths)
    return Observed(stream, torch.rand(layout.tokens, 1, generator=generator))


@pytest.mark.parametrize("scorer", [Position(), RandomScore(), ColumnMean(diagonal=False)])
def test_scores_have_mean_one(scorer):
    for part in scorer.score(observed([5, 1, 7])).split([5, 1, 7]):
        assert (part >= 0).all() and part.mean().item() == pytest.approx(1)


def test_random_scores_are_the_same_in_any_company_and_differ_by_seed():
    alone, together = (RandomScore().score(observed(sizes)) for sizes in ([90], [3, 90]))
    assert torch.equal(alone, together[3:])
    assert alone.unique().numel() == 90
    # No place is favoured: over many documents, each is among the lowest half about half the time.
    ranks = [RandomScore(seed=s).score(observed([20]))[:, 0].argsort().argsort() for s in range(99)]
    assert ((torch.stack(ranks) < 10).float().mean(0) - 0.5).abs().max() < 0.25


@pytest.mark.parametrize(
    ("depth", "keep", "skipped"),
    [(6, 0.5, {3, 4, 5}), (12, 0.25, set(range(3, 12))), (4, 0.01, {1, 2, 3}), (4, 1.0, set())],
)
def test_fewer_layers(depth, keep, skipped):
    assert preset("fewer-layers", keep=keep).resolve(depth).skipped == skipped
