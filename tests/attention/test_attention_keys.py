"""Key sets against a plain Python loop over documents and heads."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.attention import KeySet
from tersely.ragged import Layout


@st.composite
def masks(draw):
    """Documents' lengths, and the marks of their living keys, `(tokens, heads)`."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    width = draw(st.integers(1, 3))
    row = st.lists(st.booleans(), min_size=width, max_size=width)
    marks = draw(st.lists(row, min_size=sum(lengths), max_size=sum(lengths)))
    return lengths, torch.tensor(marks, dtype=torch.bool).view(-1, width)


@given(masks())
def test_a_set_for_each_head(case):
    lengths, mask = case
    keys = KeySet.from_mask(mask, Layout.from_lengths(lengths))
    counts = [part.sum(0).tolist() for part in mask.split(lengths)]
    assert keys.per_head
    assert keys.layout.sizes == [max(own) for own in counts]
    assert (keys.filled is None) == all(len(set(own)) == 1 for own in counts)
    filled = torch.ones_like(keys.index, dtype=torch.bool) if keys.filled is None else keys.filled
    parts = zip(keys.index.split(keys.layout.sizes), filled.split(keys.layout.sizes), strict=True)
    for document, (index, full) in enumerate(parts):
        own = range(sum(lengths[:document]), sum(lengths[: document + 1]))
        for head in range(mask.shape[1]):
            living = [token for token in own if mask[token, head]]
            assert index[full[:, head], head].tolist() == living
            # A place that is not filled repeats a token of the same document.
            assert set(index[:, head].tolist()) <= set(own)
    row = torch.randn(sum(lengths), mask.shape[1], 2)
    taken = keys.take(row)
    assert taken.shape == (keys.layout.tokens, mask.shape[1], 2)
    for head in range(mask.shape[1]):
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
    layout = Layout.from_lengths(lengths)
    hidden, gathered = KeySet.hidden(mask, layout), KeySet.from_mask(mask, layout)
    row, scores = torch.randn(sum(lengths), mask.shape[1], 2), torch.rand(mask.shape)
    assert hidden.per_head and hidden.take(row) is row
    assert hidden.layout.sizes == lengths and torch.equal(hidden.filled, mask)
    assert torch.equal(hidden.scatter(scores, sum(lengths)), scores * mask)
    assert hidden.most.tolist() == gathered.most.tolist() == gathered.layout.sizes
