"""Selectors agree with slow ones, scores have one scale, and what leaves the stream is gone."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slow_selection import RULES, Document, kept, slow_losers
from tersely.methods.controls import Position, RandomScore
from tersely.methods.focus import FuzzyRatio
from tersely.methods.lat import LengthDrop
from tersely.methods.topk import LinearRatio
from tersely.ragged import Layout
from tersely.reduction import (
    Candidates,
    ColumnMean,
    DropKeys,
    DropTokens,
    Observed,
    Ratio,
    Stream,
    Threshold,
    preset,
)
from tersely.reduction.scorers import to_mean_one

KEEPS = st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0]) | st.floats(0.01, 1)
# Tokens that every document has lost before.
LOST = 3


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    heads = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    # Few different scores, so that many are equal.
    levels = draw(st.integers(1, 20))
    chance = Random(draw(st.integers(0, 1 << 30)))
    return [
        Document(
            [[chance.randrange(levels) for _ in range(heads)] for _ in range(length)],
            [[chance.random() < 0.7 for _ in range(heads)] for _ in range(length)],
            [chance.random() < 0.3 for _ in range(length)],
        )
        for length in lengths
    ]


def as_candidates(cases: list[Document]) -> Candidates:
    layout = Layout.from_lengths([len(case.pinned) for case in cases])
    return Candidates(
        torch.tensor([row for case in cases for row in case.scores], dtype=torch.float32),
        torch.tensor([row for case in cases for row in case.alive]),
        torch.tensor([flag for case in cases for flag in case.pinned]),
        layout,
        layout.lengths + LOST,
    )


SELECTORS = {
    "ratio": Ratio(least=1),
    "block": FuzzyRatio(least=1),
    "complement": FuzzyRatio(least=1, reading="complement"),
    "length-drop": LengthDrop(least=1),
}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40, deadline=None)
@given(cases=documents(), keep=KEEPS)
def test_selectors_agree_with_slow_ones(rule, cases, keep):
    candidates, selector = as_candidates(cases), replace(SELECTORS[rule], keep=keep)
    losers = selector.losers(candidates)
    assert losers.tolist() == [row for case in cases for row in slow_losers(case, rule, keep)]
    assert not (losers & ~candidates.alive).any() and not losers[candidates.pinned].any()
    left = replace(candidates, alive=candidates.alive & ~losers).counts
    assert ((left > 0) | (candidates.counts == 0)).all()
    # The head with most of them keeps what was said before.
    assert (left.amax(1) + 1 > selector.share_left * candidates.counts.amax(1) - 1e-6).all()


@given(documents(), st.integers(1, 4))
def test_what_rises_by_block(cases, block):
    """Keep rates are of a document's first tokens; thresholds leave the best token."""
    candidates = as_candidates(cases)
    living, free = candidates.counts, candidates.layout.count(candidates.free)
    linear = LinearRatio(least=1, keep=0.2).at_block(block, 4)
    gone = candidates.layout.count(linear.losers(candidates))
    share = 1 - 0.8 * block / 4
    stay = [kept(share * (len(case.pinned) + LOST)) for case in cases]
    wanted = (living - torch.tensor(stay)[:, None]).clamp(min=0)
    assert torch.equal(gone, torch.minimum(wanted, free))

    losers = Threshold(least=1, threshold=8.0).at_block(block, 4).losers(candidates)
    low = candidates.free & (candidates.scores < 2 * block)
    assert not (losers & ~low).any()
    wanted = torch.minimum(candidates.layout.count(low), (living - 1).clamp(min=0))
    assert torch.equal(candidates.layout.count(losers), wanted)


@pytest.mark.parametrize(
    ("selector", "scores", "pinned", "gone"),
    [
        # In floats 0.7 · 90 is 62.99…; of equal tokens the earlier ones stay.
        (Ratio(least=1, keep=0.7), [1.0] * 90, (), list(range(63, 90))),
        # Unsafe are the three zeros, of which two are pinned, and no safe one goes in their place.
        (FuzzyRatio(least=1, keep=0.1), [0, 0, 5, 6, 7, 8, 9, 10, 11, 0], (0, 9), [1]),
        (FuzzyRatio(least=1, reading="complement", pin="none"), [1.0], (), []),
        # Unsafe are S ≤ 9.75 + 0.1 · 19.5, twelve tokens: four of forty go, or two of twelve.
        (FuzzyRatio(least=1, reading="block"), range(40), (), [0, 1, 2, 3]),
        (FuzzyRatio(least=1, reading="complement"), range(40), (), [0, 1]),
        (Threshold(least=1, threshold=50.0, pin="none"), [3, 7, 5], (), [0, 2]),
    ],
)
def test_who_goes(selector, scores, pinned, gone):
    case = Document(
        [[score] for score in scores],
        [[True] for _ in scores],
        [place in pinned for place in range(len(scores))],
    )
    assert selector.losers(as_candidates([case])).nonzero()[:, 0].tolist() == gone


# ---- scorers: mean 1 in each document, and finite whatever they are; and the controls ----------


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


# ---- the stream: its ends, and what leaves it --------------------------------------------------

# Two documents with one combination token each; the second has lost its tokens 1 and 3 before.
ORIGINS = torch.tensor([0, 1, 2, -1, 0, 2, 4, -1])


def make_stream() -> Stream:
    return Stream(torch.arange(8.0)[:, None], Layout.from_lengths([4, 4]), ORIGINS)


def losers(rows: list[int], heads: int = 1, head: int = 0) -> torch.Tensor:
    mask = torch.zeros(8, heads, dtype=torch.bool)
    mask[rows, head] = True
    return mask


def test_what_is_known_of_the_tokens():
    """Ends are the first and last own tokens; combination tokens stand at place zero."""
    stream = make_stream()
    assert stream.ends().nonzero()[:, 0].tolist() == [0, 2, 4, 6]
    assert stream.positions.tolist() == [0, 1, 2, 0, 0, 2, 4, 0]
    assert stream.embedded.tolist() == [True, True, True, False] * 2


def test_dropped_keys_stay_as_queries_and_do_not_return():
    stream = DropKeys().apply(make_stream(), losers([1]), None)
    stream = DropKeys().apply(stream, losers([5]), None)
    assert stream.layout.sizes == [4, 4]
    assert (~stream.key_mask).nonzero()[:, 0].tolist() == [1, 5]


def test_dropped_tokens_are_gone_and_the_keys_follow():
    stream = make_stream().drop_keys(losers([2, 5]))
    stream = DropTokens().apply(stream, losers([1, 2, 6]), None)
    assert stream.layout.sizes == [2, 3]
    assert stream.origins.tolist() == [0, -1, 0, 2, -1]
    assert stream.hidden[:, 0].tolist() == [0, 3, 4, 5, 7]
    assert stream.key_mask.tolist() == [True, True, True, False, True]
