"""Keep rates, thresholds, scores without attention, and the controls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import PlanError
from tersely.methods.controls import Position, RandomScore, Skip
from tersely.methods.tome import Merge
from tersely.ragged import Layout
from tersely.reduction import (
    Candidates,
    ColumnMean,
    DropKeys,
    DropTokens,
    HiddenChange,
    LinearRatio,
    Observed,
    Plan,
    RowMax,
    Step,
    Stream,
    Threshold,
    preset,
)


def candidates(lengths: list[int], first: list[int], seed: int = 0) -> Candidates:
    """Living documents of `lengths` tokens, which had `first` tokens once; the first is pinned."""
    layout = Layout.from_lengths(lengths)
    scores = torch.rand(layout.tokens, 1, generator=torch.Generator().manual_seed(seed)) * 2
    alive = torch.ones_like(scores, dtype=torch.bool)
    return Candidates(scores, alive, layout.positions == 0, layout, torch.tensor(first))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 99))
def test_linear_keep_rates(lengths, block, seed):
    first = [length + 3 for length in lengths]
    case = candidates(lengths, first, seed)
    losers = LinearRatio(least=1, keep=0.2, pin="first").at_block(block, 4).losers(case)[:, 0]
    share = 1 - 0.8 * block / 4
    for length, n, scores, gone in zip(
        lengths, first, case.scores[:, 0].split(lengths), losers.split(lengths), strict=True
    ):
        stay = min(length, max(1, int(share * n + 1e-9)))
        best = [0, *sorted(range(1, length), key=lambda i: -scores[i].item())][:stay]
        assert (~gone).nonzero()[:, 0].tolist() == sorted(best)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 99))
def test_rising_thresholds(lengths, block, seed):
    case = candidates(lengths, lengths, seed)
    losers = Threshold(least=1, threshold=1.2, pin="first").at_block(block, 4).losers(case)[:, 0]
    low = case.scores[:, 0] < torch.tensor(1.2 * block / 4)
    assert torch.equal(losers, low & ~case.pinned)


def test_a_threshold_above_all_scores_keeps_the_best_token():
    case = candidates([4, 1], [4, 1])
    case = replace(case, pinned=torch.zeros_like(case.pinned))
    losers = Threshold(least=1, threshold=9.0, pin="none").losers(case)[:, 0]
    best = case.scores[:4, 0].argmax().item()
    assert losers.tolist() == [i != best for i in range(4)] + [False]


def observed(lengths: list[int]) -> Observed:
    layout = Layout.from_lengths(lengths)
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randn(2, layout.tokens, 4, generator=generator).unbind()
    return Observed(
        Stream(after, layout, layout.positions, lengths=layout.lengths),
        before,
        torch.rand(layout.tokens, 1, generator=generator),
    )


@pytest.mark.parametrize(
    "scorer", [HiddenChange(), Position(), RandomScore(), RowMax(), ColumnMean(diagonal=False)]
)
def test_scores_have_mean_one_and_are_a_documents_own(scorer):
    together = scorer.score(observed([5, 1, 7]))
    for part in together.split([5, 1, 7]):
        assert (part >= 0).all() and part.mean().item() == pytest.approx(1)


def test_the_order_of_scores():
    seen = observed([6])
    moved = (seen.stream.hidden - seen.before).norm(dim=1) / seen.before.norm(dim=1)
    assert HiddenChange().score(seen)[:, 0].argsort().tolist() == moved.argsort().tolist()
    assert Position().score(seen)[:, 0].argsort().tolist() == [5, 4, 3, 2, 1, 0]


def test_random_scores_are_the_same_in_any_company_and_differ_by_seed():
    alone, together = (RandomScore().score(observed(sizes)) for sizes in ([90], [3, 90]))
    assert torch.equal(alone, together[3:])
    assert alone.unique().numel() == 90
    other = RandomScore(seed=1).score(observed([90]))
    assert alone[:, 0].argsort().tolist() != other[:, 0].argsort().tolist()
    # No place is favoured: over many documents, each is among the lowest half about half the time.
    half = torch.stack(
        [
            RandomScore(seed=s).score(observed([20]))[:, 0].argsort().argsort() < 10
            for s in range(99)
        ]
    )
    assert (half.float().mean(0) - 0.5).abs().max() < 0.25


@pytest.mark.parametrize(
    ("depth", "keep", "skipped"),
    [(6, 0.5, {3, 4, 5}), (12, 0.25, set(range(3, 12))), (4, 0.01, {1, 2, 3}), (4, 1.0, set())],
)
def test_fewer_layers(depth, keep, skipped):
    assert preset("fewer-layers", keep=keep).resolve(depth).skipped == skipped


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (
            lambda: Plan("x", (Step(Skip(), {"start": 0}), Step(Merge(least=1), 5))).resolve(6),
            "steps exclude each other at block 5: it is skipped",
        ),
        (
            lambda: Step(DropTokens(), "input", ColumnMean(), Threshold(least=1)),
            "score must be one that needs no attention .* got 'column-mean'",
        ),
        (
            lambda: Step(DropKeys(), "input", Position(), Threshold(least=1)),
            "act must be 'drop-tokens' at blocks 'input', got 'drop-keys'",
        ),
        (lambda: RandomScore(seed=0.5), "seed must be a whole number, got 0.5"),
    ],
)
def test_plans_that_cannot_be(make, fragment):
    with pytest.raises(PlanError, match=fragment):
        make()
