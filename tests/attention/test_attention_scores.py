"""Who counts in a score, who is in a window, and a matrix whose rows may see nothing."""

from __future__ import annotations

import pytest
import torch
from attention_reference import close
from hypothesis import given
from hypothesis import strategies as st

from tersely.attention import ScoreRequest, softmax
from tersely.attention.softmax import column_weights
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


def matrix(query, key, mask, workspace=None):
    """The attention matrix alone."""
    blind = softmax.blind_queries(mask)
    return softmax.matrix(query, key, mask, None, blind, 1.0, workspace)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_query_that_sees_no_key_pays_nothing_and_has_finite_gradients(dtype):
    query = torch.tensor([[1.0, 2.0], [9.0, 9.0]], dtype=dtype)[None, None].requires_grad_()
    key = torch.tensor([[1.0, 0], [0, 1.0], [9.0, 9.0]], dtype=dtype)[None, None].requires_grad_()
    mask = torch.tensor([[True, True, False], [False, False, False]])[None, None]
    weights = matrix(query, key, mask)[0, 0]
    assert (weights[1] == 0).all() and weights[0, 2] == 0
    close(weights[0, :2].float(), torch.tensor([1.0, 2.0]).softmax(0), 1e-2)
    for gradient in torch.autograd.grad(weights.square().sum(), (query, key)):
        assert gradient.isfinite().all() and (gradient[0, 0, -1] == 0).all()


@pytest.mark.parametrize("tracked", [True, False])
def test_the_matrix_is_the_softmax_over_what_is_seen(tracked):
    query, key = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 5, 8)
    mask = torch.rand(2, 1, 4, 5) < 0.6
    mask[0, 0, 2] = False
    logits = query @ key.transpose(2, 3)
    expected = logits.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0)
    workspace = None if tracked else softmax.Workspace(torch.float32)
    close(matrix(query, key, mask, workspace), expected)
    close(matrix(query, key, None, workspace), logits.softmax(-1))


@pytest.mark.parametrize("masked", [True, False])
def test_the_explicit_matrix_agrees_with_the_fused_kernel(masked):
    query, key, value = torch.randn(3, 2, 3, 5, 4).unbind(0)
    mask = torch.rand(2, 1, 5, 5) < 0.6 if masked else None
    rows, bias = torch.rand(2, 5), torch.randn(1, 3, 5, 5)
    request = ScoreRequest()
    for added in (None, bias):
        options = {"mask": mask, "bias": added, "scaling": 0.7}
        context, columns = softmax.attend(query, key, value, rows=rows, request=request, **options)
        fused = softmax.attend_fused(query, key, value, dropout=0.0, **options)
        close(context, fused)
        # Values that are one-hot by key turn the context into the attention matrix.
        eye = torch.eye(5).expand(2, 3, 5, 5)
        whole = softmax.attend_fused(query, key, eye, dropout=0.0, **options)
        close(columns, torch.einsum("dq,dhqk->dhk", rows, whole))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("half", ["autocast", "weights"])
def test_scores_are_told_apart_in_half_precision(half, diagonal):
    tokens = 512
    query, key = torch.randn(2, 1, 2, tokens, 8).unbind()
    if half == "weights":
        query, key = query.bfloat16(), key.bfloat16()
    rows = torch.full((1, tokens), 1 / tokens)
    request = ScoreRequest("column", diagonal=diagonal)
    with torch.autocast("cpu", torch.bfloat16, enabled=half == "autocast"):
        _, score = softmax.attend(query, key, key, rows=rows, request=request, scaling=0.35)
    assert score.dtype == torch.float32
    assert all(len(each.unique()) > 0.9 * tokens for each in score[0])
    query, key, rows = query.double(), key.double(), rows.double()
    exact = softmax.attend(query, key, key, rows=rows, request=request, scaling=0.35)[1]
    # What is left is the rounding of the matrix, which a mean over its rows evens out.
    assert (score / exact - 1).abs().max() < 0.01
