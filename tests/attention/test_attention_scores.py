"""Who counts in a score, who is in a window, and a softmax that may see nothing."""

from __future__ import annotations

import pytest
import torch
from attention_reference import close
from hypothesis import given
from hypothesis import strategies as st

from tersely.attention import ScoreRequest
from tersely.attention.connections import window_mask
from tersely.attention.scores import column_weights, explicit_attention, masked_softmax
from tersely.ragged import Layout

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=4)


@given(LENGTHS, st.sampled_from(["column", "first", "sample"]), st.integers(1, 10), st.data())
def test_column_weights(lengths, kind, rows, data):
    tokens = sum(lengths)
    counted = data.draw(st.none() | st.lists(st.booleans(), min_size=tokens, max_size=tokens))
    mask = None if counted is None else torch.tensor(counted, dtype=torch.bool)
    actual = column_weights(Layout.from_lengths(lengths), ScoreRequest(kind, False, mask, rows))
    for document, weights in enumerate(actual.split(lengths)):
        start, length = sum(lengths[:document]), lengths[document]
        places = range(length)
        if kind == "first":
            places = places[:1]
        elif kind == "sample":
            count = min(rows, length)
            # Place r·n/k of n, rounded up.
            places = [-(-row * length // count) for row in range(count)]
        if kind != "first" and counted is not None:
            places = [place for place in places if counted[start + place]]
        expected = torch.zeros(length)
        expected[list(places)] = 1 / max(len(places), 1)
        close(weights, expected)


def test_sampled_rows_of_an_example():
    weights = column_weights(Layout.from_lengths([10, 2]), ScoreRequest("sample", rows=4))
    assert weights.nonzero()[:, 0].tolist() == [0, 3, 5, 8, 10, 11]
    assert weights.unique().tolist() == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("window", "rows"),
    [
        (1, ["1001", "0101", "0011", "1111"]),
        (2, ["1101", "1101", "0011", "1111"]),
        (5, ["1111", "1111", "1111", "1111"]),
    ],
)
def test_window_mask(window, rows):
    places = torch.tensor([[3, 4, 7, -1]])
    seen = window_mask(places, places[..., None], window)
    assert seen.shape == (1, 1, 4, 4)
    assert ["".join("01"[mark] for mark in row) for row in seen[0, 0].int()] == rows


def test_window_mask_of_each_head():
    seen = window_mask(torch.tensor([[0, 5]]), torch.tensor([[[0, 5], [4, 1]]]), 2)
    # (documents, heads, queries, keys): the second head has other keys.
    assert seen.int().tolist() == [[[[1, 0], [0, 1]], [[0, 1], [1, 0]]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_masked_softmax_of_a_row_without_any_key_is_zero_and_has_finite_gradients(dtype):
    logits = torch.tensor([[1.0, 2.0, 0.0], [9.0, 9.0, 9.0]], dtype=dtype, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(logits, mask)
    assert (weights[1] == 0).all() and weights[0, 2] == 0
    close(weights[0, :2].float(), logits[0, :2].detach().softmax(0).float(), 1e-2)
    gradient = torch.autograd.grad(weights.square().sum(), logits)[0]
    assert gradient.isfinite().all()
    assert (gradient[mask] != 0).all() and (gradient[~mask] == 0).all()


def test_masked_softmax_ignores_the_largest_numbers_behind_the_mask():
    logits = torch.tensor([[1.0, torch.finfo(torch.float32).max, torch.inf]])
    mask = torch.tensor([[True, False, False]])
    assert masked_softmax(logits, mask).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("tracked", [True, False])
def test_masked_softmax_is_softmax_over_what_is_seen(tracked):
    logits = torch.randn(2, 3, 4, 5)
    mask = torch.rand(2, 1, 4, 5) < 0.6
    mask[0, 0, 2] = False
    expected = logits.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0)
    whole = logits.softmax(-1)
    with torch.set_grad_enabled(tracked):
        # Copies, since it may overwrite what it is given.
        close(masked_softmax(logits.clone(), mask), expected)
        close(masked_softmax(logits.clone(), None), whole)


@pytest.mark.parametrize("masked", [True, False])
def test_explicit_attention_agrees_with_the_fused_kernel(masked):
    query, key, value = torch.randn(3, 2, 3, 5, 4).unbind(0)
    mask = torch.rand(2, 1, 5, 5) < 0.6 if masked else None
    rows = torch.rand(2, 5)
    context, columns = explicit_attention(query, key, value, mask, rows, ScoreRequest(), 0.7, 0.0)
    fused = torch.nn.functional.scaled_dot_product_attention
    close(context, fused(query, key, value, attn_mask=mask, scale=0.7))
    # Values that are one-hot by key turn the context into the attention matrix.
    eye = torch.eye(5).expand(2, 3, 5, 5)
    matrix = fused(query, key, eye, attn_mask=mask, scale=0.7)
    close(columns, torch.einsum("dq,dhqk->dhk", rows, matrix))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("half", ["autocast", "weights"])
def test_scores_are_told_apart_in_half_precision(half, diagonal):
    tokens = 512
    query, key = torch.randn(2, 1, 2, tokens, 8).unbind()
    if half == "weights":
        query, key = query.bfloat16(), key.bfloat16()
    rows, request = torch.full((1, tokens), 1 / tokens), ScoreRequest("column", diagonal=diagonal)
    with torch.autocast("cpu", torch.bfloat16, enabled=half == "autocast"):
        _, score = explicit_attention(query, key, key, None, rows, request, 0.35, 0.0)
    assert score.dtype == torch.float32
    assert all(len(each.unique()) > 0.9 * tokens for each in score[0])
    exact = explicit_attention(
        query.double(), key.double(), key.double(), None, rows.double(), request, 0.35, 0.0
    )[1]
    # What is left is the rounding of the matrix, which a mean over its rows evens out.
    assert (score / exact - 1).abs().max() < 0.01
