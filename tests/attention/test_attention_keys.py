"""Key sets and packings against a plain Python loop over documents and heads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.attention import KeySet, Packing, ScoreRequest
from tersely.ragged import Layout

HEADS = st.integers(1, 3)


@st.composite
def masks(draw):
    """Documents' lengths, and the marks of their living keys, `(tokens, heads)`."""
    lengths, width = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)), draw(HEADS)
    row = st.lists(st.booleans(), min_size=width, max_size=width)
    marks = draw(st.lists(row, min_size=sum(lengths), max_size=sum(lengths)))
    return lengths, torch.tensor(marks, dtype=torch.bool).view(-1, width)


def living(lengths, column):
    """The rows of the living keys, document by document."""
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    return [
        [token for token in range(start, start + length) if column[token]]
        for start, length in zip(starts, lengths, strict=True)
    ]


@given(masks())
def test_a_set_for_each_head(case):
    lengths, mask = case
    heads = mask.shape[1]
    keys = KeySet.from_mask(mask, Layout.from_lengths(lengths))
    expected = [living(lengths, mask[:, head]) for head in range(heads)]
    counts = [[len(tokens) for tokens in documents] for documents in expected]
    assert keys.per_head
    assert keys.layout.sizes == [max(each) for each in zip(*counts, strict=True)]
    assert (keys.filled is None) == all(count == counts[0] for count in counts)
    filled = torch.ones_like(keys.index, dtype=torch.bool) if keys.filled is None else keys.filled
    parts = zip(keys.index.split(keys.layout.sizes), filled.split(keys.layout.sizes), strict=True)
    for document, (index, full) in enumerate(parts):
        start = sum(lengths[:document])
        own = range(start, start + lengths[document])
        for head in range(heads):
            assert index[full[:, head], head].tolist() == expected[head][document]
            # A place that is not filled repeats a token of the same document.
            assert set(index[:, head].tolist()) <= set(own)
    row = torch.randn(sum(lengths), heads, 2)
    taken = keys.take(row)
    assert taken.shape == (keys.layout.tokens, heads, 2)
    for head in range(heads):
        assert torch.equal(taken[:, head], row[keys.index[:, head], head])


@given(masks(), st.booleans())
def test_scatter_puts_scores_back_and_zeros_elsewhere(case, shared):
    lengths, mask = case
    mask = mask[:, 0] if shared else mask
    keys = KeySet.from_mask(mask, Layout.from_lengths(lengths))
    scores = torch.rand(sum(lengths), 2 if shared else mask.shape[1]) + 1
    places = scores[keys.index] if shared else scores.gather(0, keys.index)
    row = keys.scatter(places, sum(lengths))
    assert torch.equal(row, scores * (mask[:, None] if shared else mask))


@given(masks())
def test_keys_hidden_in_their_places(case):
    lengths, mask = case
    hidden, gathered = (
        make(mask, Layout.from_lengths(lengths)) for make in (KeySet.hidden, KeySet.from_mask)
    )
    row = torch.randn(sum(lengths), mask.shape[1], 2)
    assert hidden.per_head and hidden.take(row) is row
    assert hidden.layout.sizes == lengths and torch.equal(hidden.filled, mask)
    scores = torch.rand(mask.shape)
    assert torch.equal(hidden.scatter(scores, sum(lengths)), scores * mask)
    assert hidden.most.tolist() == gathered.most.tolist() == gathered.layout.sizes


def test_take_and_scatter_carry_gradients():
    mask = torch.tensor([[True, True], [True, False], [False, True], [True, False], [True, True]])
    layout = Layout.from_lengths([3, 2])
    for keys in (KeySet.from_mask(mask, layout), KeySet.from_mask(mask[:, 0], layout)):
        row = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(keys.take, (row,))
        scores = torch.randn(keys.layout.tokens, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda scores, keys=keys: keys.scatter(scores, 5), (scores,)
        )


# ---- packings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"keys": KeySet.from_mask(torch.ones(5).bool(), Layout.from_lengths([5]))},
            "the 2 documents of the queries, got 1",
        ),
        (
            {
                "keys": KeySet.from_mask(torch.ones(5, 2).bool(), Layout.from_lengths([2, 3])),
                "scores": ScoreRequest(),
            },
            "per head where each head has its own keys, got their mean",
        ),
    ],
)
def test_errors(options, match):
    with pytest.raises(ValueError, match=match):
        Packing(Layout.from_lengths([2, 3]), **options)
