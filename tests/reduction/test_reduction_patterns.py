"""Patterns connect what a slow version connects, pair by pair, and refuse wrong settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slow_patterns import Slow
from tersely.errors import ModelError, PlanError
from tersely.methods.controls import Skip
from tersely.methods.focus import Combine
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.ragged import Layout
from tersely.reduction import (
    ColumnMean,
    DropTokens,
    FirstRow,
    Knowledge,
    Plan,
    Ratio,
    Step,
    Stream,
)
from tersely.reduction.patterns import token_columns

HEADS = 2
TABLE = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
STEMS = torch.arange(12) // 3


def parse(ids):
    """Words of two tokens, each governed by the one before the last; the first has no word."""
    words = [-1, *((number + 1) // 2 for number in range(len(ids) - 1))]
    return words, [max(0, number - 2) for number in range(max(words) + 1)]


KNOWLEDGE = Knowledge(parse, STEMS)
PATTERNS = [
    Neighbours(width=2),
    Neighbours(width=0, cls=False),
    Neighbours(width=[1, 3]),
    Neighbours(share=0.3),
    GlobalTokens(tokens=2),
    GlobalTokens(share=0.4, cls=False),
    RandomPairs(share=0.3),
    RandomPairs(share=0.5, seed=3, cls=False),
    Syntax(),
    Lexical(),
    Lexical(by="stem", cls=False),
    Lexical(by="embedding", share=0.25),
    Lexical(by="embedding", share=0.0, cls=False),
    Union(of=[Neighbours(width=1, cls=False), RandomPairs(share=0.2, cls=False)], cls=False),
]


def stream_of(
    documents: list[list[int]], needs=("id", "document", "stem", "vector", "parse")
) -> Stream:
    layout = Layout.from_lengths([len(ids) for ids in documents])
    ids = torch.tensor([number for own in documents for number in own])
    columns = token_columns(ids, layout, TABLE, KNOWLEDGE, needs)
    states = torch.zeros(layout.tokens, 1)
    return Stream(states, layout, layout.positions, lengths=layout.lengths, columns=columns)


def mask_of(pattern, stream: Stream, document: int, head: int = 0) -> torch.Tensor:
    start, stop = stream.layout.offsets[document : document + 2].tolist()
    rows = torch.arange(start, stop)
    seen = pattern.connect(stream).sees(rows[None, None, :, None], rows[None, None, None, :])
    return seen[0, min(head, seen.shape[1] - 1)]


documents = st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=9), min_size=1, max_size=3)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@settings(max_examples=15, deadline=None)
@given(documents=documents)
def test_pairs_are_those_of_the_slow_version(pattern, documents):
    stream = stream_of(documents)
    for number, ids in enumerate(documents):
        slow = Slow(ids, TABLE, parse, STEMS)
        for head in range(HEADS):
            assert torch.equal(mask_of(pattern, stream, number, head), slow.mask(pattern, head))


# Their share is of the pairs that are there, so that it holds for those that are left.
BY_SHARE_OF_THE_LIVING = [p for p in PATTERNS if isinstance(p, Lexical) and p.by == "embedding"]
LEAVING = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9]]
KEPT = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1]).bool()


@pytest.mark.parametrize(
    "pattern", [p for p in PATTERNS if p not in BY_SHARE_OF_THE_LIVING], ids=str
)
def test_tokens_that_leave_take_their_connections_along_and_nobody_comes_nearer(pattern):
    stream = stream_of(LEAVING)
    left = stream.select(KEPT)
    for number, own in enumerate(KEPT.split([8, 5])):
        before = mask_of(pattern, stream, number)[own][:, own]
        assert torch.equal(mask_of(pattern, left, number), before)


@pytest.mark.parametrize("pattern", BY_SHARE_OF_THE_LIVING, ids=str)
def test_a_share_of_like_pairs_is_one_of_the_tokens_that_are_left(pattern):
    left = stream_of(LEAVING).select(KEPT)
    for number, own in enumerate(KEPT.split([8, 5])):
        ids = torch.tensor(LEAVING[number])[own].tolist()
        slow = Slow(ids, TABLE, parse, STEMS)
        assert torch.equal(mask_of(pattern, left, number), slow.mask(pattern))


def test_bands_hold_all_that_is_connected():
    stream = stream_of([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5]])
    for pattern in PATTERNS:
        band = pattern.connect(stream).band
        for number in range(2):
            seen = mask_of(pattern, stream, number) | mask_of(pattern, stream, number, 1)
            places = torch.arange(len(seen))
            if band is None:
                continue
            near = (places[:, None] - places).abs() <= band.reaches[number]
            ends = (places[:, None] < band.first) | (places < band.first)
            assert not (seen & ~(near | ends)).any()
            if band.exact:
                assert torch.equal(seen, near | ends)
    named = [p for p in PATTERNS if p.connect(stream).band is not None]
    assert len(named) == 6, "those of neighbours and of global tokens"


def test_combination_tokens_see_and_are_seen_by_all():
    stream = stream_of([[3, 1, 4, 1]])
    grown = stream.append(torch.zeros(2, 1))
    assert grown.columns["id"].tolist() == [3, 1, 4, 1, -1, -1]
    assert grown.origins.tolist() == [0, 1, 2, 3, -1, -1]
    for pattern in PATTERNS:
        seen = mask_of(pattern, grown, 0)
        assert seen[4:].all() and seen[:, 4:].all()
        if not (isinstance(pattern, Lexical) and pattern.by == "embedding"):
            assert torch.equal(seen[:4, :4], mask_of(pattern, stream, 0))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_random_pairs_are_as_many_as_asked_for(share):
    stream = stream_of([list(range(12)) * 20])
    seen = mask_of(RandomPairs(share=share, cls=False), stream, 0)
    assert seen.float().mean() == pytest.approx(share, abs=0.02)
    again = mask_of(RandomPairs(share=share, seed=1, cls=False), stream, 0)
    assert share in (0.0, 1.0) or not torch.equal(seen, again)


def test_documents_of_one_length_have_other_random_pairs():
    stream = stream_of([[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]])
    one, other = (mask_of(RandomPairs(share=0.5), stream, number) for number in range(2))
    assert not torch.equal(one, other)


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: Neighbours(), "width must be given, or share in its place, not both, got None"),
        (lambda: Neighbours(width=1, share=0.1), "not both, got ['width', 'share']"),
        (lambda: Neighbours(width=-1), "width must be whole numbers of 0 or more, got -1"),
        (lambda: Neighbours(width=[1, 2.5]), "width must be whole numbers of 0 or more"),
        (lambda: GlobalTokens(tokens=True), "tokens must be a whole number of 0 or more"),
        (lambda: Union(), "of must be a list, got ()"),
        (lambda: Union(of=[{"kind": "drop-keys"}]), "of must be a list of patterns"),
        (lambda: Union(of=[{"kind": "neighbours", "wide": 1}]), "of[0].wide is not a field of"),
    ],
)
def test_wrong_settings_are_refused(make, fragment):
    with pytest.raises(PlanError) as caught:
        make()
    assert fragment in str(caught.value)


NEAR = Neighbours(width=2)
BARE = Neighbours(width=2, cls=False)


@pytest.mark.parametrize(
    ("steps", "fragment"),
    [
        (
            [Step(NEAR, 1), Step(Lexical(), [0, 1])],
            "got 'neighbours' and 'lexical' at block 1; put",
        ),
        ([Step(NEAR, 2), Step(Combine(), 2)], "must come before block 2, where 'combine'"),
        ([Step(NEAR, 3), Step(Combine(), 2)], "must come before block 2, where 'combine'"),
        ([Step(NEAR, 3), Step(Skip(keep=0.5), {"start": 0})], "exclude each other at block 3"),
        (
            [Step(BARE, 1), Step(DropTokens(), 1, FirstRow(), Ratio(least=1))],
            "exclude each other at block 1: 'first-row' scores by what [CLS] pays",
        ),
    ],
)
def test_steps_that_exclude_each_other_are_refused(steps, fragment):
    with pytest.raises(PlanError) as caught:
        Plan("wrong", steps).resolve(4)
    assert fragment in str(caught.value)


def test_patterns_have_no_place_before_the_first_block_and_choose_nothing():
    with pytest.raises(PlanError, match="must be 'drop-tokens' at blocks 'input'"):
        Step(NEAR, "input")
    with pytest.raises(PlanError, match="score must be left out for 'neighbours'"):
        Step(NEAR, 1, ColumnMean())


def test_a_pattern_may_stand_beside_a_step_that_chooses():
    steps = [Step(NEAR, {"start": 0}), Step(DropTokens(), 1, FirstRow(), Ratio(least=1))]
    resolved = Plan("both", steps).resolve(3)
    assert resolved.patterns == dict.fromkeys(range(3), NEAR)
    assert [step.act.kind for step in resolved.at(1)] == ["drop-tokens"]


def test_widths_must_fit_the_heads():
    with pytest.raises(PlanError, match="one for each of the encoder's 4 heads, got 3"):
        Union(of=[Neighbours(width=[1, 2, 3])]).check_heads(4)
    Union(of=[Neighbours(width=[1, 2, 3, 4])]).check_heads(4)


@pytest.mark.parametrize(("column", "name"), [("parse", "parser"), ("stem", "stems")])
def test_what_was_not_given_is_named(column, name):
    ids, layout = torch.tensor([1, 2]), Layout.from_lengths([2])
    with pytest.raises(ModelError, match=rf"needs model\.knowledge\.{name}, .*got None; make one"):
        token_columns(ids, layout, TABLE, Knowledge(), (column,))


@pytest.mark.parametrize(
    ("words", "heads"), [([0], [0]), ([0, 2], [0, 0]), ([0, 1], [0, 2]), ([0, 1], [0, -1])]
)
def test_a_parse_that_does_not_fit_is_refused(words, heads):
    ids, layout = torch.tensor([1, 2]), Layout.from_lengths([2])
    with pytest.raises(ModelError, match="a word number for each of the 2 tokens"):
        token_columns(ids, layout, TABLE, Knowledge(parser=lambda ids: (words, heads)), ("parse",))
