"""Ratio and fuzzy pruning agree with slow ones on lists, for any lengths, heads, ties and pins."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_selection import losers_of_document, quantile, unsafe_tokens

from tersely.methods.focus import FuzzyRatio
from tersely.ragged import Layout
from tersely.reduction import Candidates, Ratio, Selector

KEEPS = st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0]) | st.floats(0.01, 1)


@dataclass
class Document:
    """One document of a case: scores and alive `[token][head]`, pinned `[token]`."""

    scores: list[list[int]]
    alive: list[list[bool]]
    pinned: list[bool]


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
    return Candidates(
        torch.tensor([row for case in cases for row in case.scores], dtype=torch.float32),
        torch.tensor([row for case in cases for row in case.alive]),
        torch.tensor([flag for case in cases for flag in case.pinned]),
        Layout.from_lengths([len(case.pinned) for case in cases]),
    )


def assert_agrees(selector: Ratio, cases: list[Document], **reference: object) -> None:
    candidates = as_candidates(cases)
    expected = []
    for case in cases:
        expected += losers_of_document(
            case.scores, case.alive, case.pinned, selector.keep, **reference
        )
    losers = selector.losers(candidates)
    assert losers.tolist() == expected
    assert not (losers & ~candidates.alive).any()
    assert not losers[candidates.pinned].any()
    left = Candidates(
        candidates.scores, candidates.alive & ~losers, candidates.pinned, candidates.layout
    )
    assert ((left.counts > 0) | (candidates.counts == 0)).all()
    # The head with most of them keeps what was said before.
    assert (left.counts.amax(1) + 1 > selector.share_left * candidates.counts.amax(1) - 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(cases=documents(), keep=KEEPS)
def test_ratio_agrees_with_the_slow_one(cases, keep):
    assert_agrees(Ratio(least=1, keep=keep), cases)


@pytest.mark.parametrize("reading", ["block", "complement"])
@settings(max_examples=60, deadline=None)
@given(cases=documents(), keep=KEEPS)
def test_fuzzy_ratio_agrees_with_the_slow_one(reading, cases, keep):
    assert_agrees(FuzzyRatio(least=1, keep=keep, reading=reading), cases, reading=reading)


@pytest.mark.parametrize("reading", ["block", "complement"])
@settings(max_examples=40, deadline=None)
@given(
    cases=documents(),
    important=st.sampled_from([0.0, 0.3, 0.8]),
    unimportant=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_other_alpha_cuts_agree_with_the_slow_one(reading, cases, important, unimportant):
    cuts = {"important": important, "unimportant": unimportant}
    assert_agrees(
        FuzzyRatio(least=1, keep=0.3, reading=reading, **cuts), cases, reading=reading, **cuts
    )


@settings(max_examples=60, deadline=None)
@given(cases=documents())
def test_the_unsafe_are_those_up_to_a_tenth_above_the_lower_quantile(cases):
    """The algebra of the alpha-cuts: the complement of I − U is S ≤ a + 0.1·(b − a)."""
    expected = []
    for case in cases:
        pool = [
            score
            for row, living in zip(case.scores, case.alive, strict=True)
            for score, lives in zip(row, living, strict=True)
            if lives
        ]
        a, b = (quantile(pool, Fraction(q, 4)) if pool else Fraction(0) for q in (1, 3))
        limit = a + Fraction(1, 10) * (b - a)
        by_limit = [
            [lives and score <= limit for score, lives in zip(row, living, strict=True)]
            for row, living in zip(case.scores, case.alive, strict=True)
        ]
        assert unsafe_tokens(case.scores, case.alive) == by_limit
        expected += by_limit
    assert FuzzyRatio(least=1).unsafe(as_candidates(cases)).tolist() == expected


def one_document(scores: list[float], pinned: tuple[int, ...] = ()) -> Candidates:
    column = torch.tensor(scores)[:, None]
    pins = torch.zeros(len(scores), dtype=torch.bool)
    pins[list(pinned)] = True
    return Candidates(
        column, torch.ones_like(column, dtype=torch.bool), pins, Layout.from_lengths([len(scores)])
    )


def gone(selector: Selector, candidates: Candidates) -> list[int]:
    return selector.losers(candidates).nonzero()[:, 0].tolist()


def test_a_float_that_is_a_little_too_small_loses_no_token():
    # In floats 0.7 · 90 is 62.99…
    assert len(gone(Ratio(least=1, keep=0.7), one_document([1.0] * 90))) == 90 - 63


def test_of_equal_tokens_the_earlier_one_stays():
    assert gone(Ratio(least=1, keep=0.5), one_document([2.0, 1.0, 1.0, 1.0])) == [2, 3]


def test_a_pinned_token_takes_no_place_from_a_safe_one():
    # Unsafe are the three zeros, of which two are pinned: only the third one goes.
    candidates = one_document([0.0, 0.0, 5, 6, 7, 8, 9, 10, 11, 0.0], pinned=(0, 9))
    assert gone(FuzzyRatio(least=1, keep=0.1), candidates) == [1]
    assert gone(FuzzyRatio(least=1, keep=0.1, reading="complement"), candidates) == [1]


def test_the_last_key_of_a_document_stays_when_p_is_applied_to_the_complement():
    assert gone(FuzzyRatio(least=1, reading="complement", pin="none"), one_document([1.0])) == []


def test_the_readings_differ():
    candidates = one_document([float(score) for score in range(40)])
    # Unsafe are S ≤ 9.75 + 0.1 · 19.5, twelve tokens: four of forty go, or two of twelve.
    assert gone(FuzzyRatio(least=1, reading="block"), candidates) == [0, 1, 2, 3]
    assert gone(FuzzyRatio(least=1, reading="complement"), candidates) == [0, 1]
