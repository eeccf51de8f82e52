"""All back ends against attention from its definition, and against one another."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from attention_reference import SIZE, cases, close, gradients, make_case, run
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tersely.attention import ScoreRequest, loop, softmax

every_backend = pytest.mark.parametrize("backend", ("loop", "dense", "padded"))


@every_backend
@given(case=st.one_of(cases(), cases(scores=True)))
def test_context_and_scores(backend, case):
    expected, scored = case.expected()[0], case.request and case.expected_places()
    # Without gradients the matrix may be made in other ways.
    for tracked in (True, False):
        with torch.set_grad_enabled(tracked):
            context, returned = run(case, backend)
        close(context, expected)
        if case.request is None:
            assert returned is None
        else:
            close(returned, scored)


@given(case=cases())
def test_context_of_documents_that_are_long_enough_for_the_fused_kernel(case):
    with patch.object(loop, "_FUSED_FROM", 0), torch.no_grad():
        context, _ = run(case, "loop")
    close(context, case.expected()[0])


@every_backend
@given(case=st.one_of(cases(), cases(scores=True)))
def test_gradients(backend, case):
    if case.request is not None:
        case = replace(case, request=replace(case.request, differentiable=True))
    actual = gradients(case, lambda case: run(case, backend))
    expected = gradients(
        case, lambda case: (case.expected()[0], case.request and case.expected_places())
    )
    # Column weights are float32 in the library.
    close(actual, expected, 1e-9 if case.request is None else 1e-6)


@pytest.mark.parametrize("differentiable", [True, False])
@every_backend
def test_scores_carry_gradients_only_where_asked(backend, differentiable):
    case = make_case([3, 2], request=ScoreRequest(differentiable=differentiable))
    context, returned = run(replace(case, states=case.states.requires_grad_()), backend)
    assert context.requires_grad
    assert returned.requires_grad is differentiable


@every_backend
@given(case=cases(scores=True))
def test_a_document_alone_gives_what_it_gives_in_company(backend, case):
    context, returned = run(case, backend)
    keys = case.layout if case.keys is None else case.keys.layout
    parts = zip(context.split(case.sizes), returned.split(keys.sizes), strict=True)
    for document, (together, scored) in enumerate(parts):
        if case.sizes[document]:
            alone, scored_alone = run(case.only(document), backend)
            close(alone, together)
            close(scored_alone, scored)


@every_backend
@pytest.mark.parametrize("request_scores", [True, False])
def test_dropout_takes_weights_away_and_scales_the_others_but_not_the_scores(
    backend, request_scores
):
    request = ScoreRequest(per_head=True) if request_scores else None
    # Documents of one token: the only weight is 1, so it is dropped or doubled.
    case = make_case([1] * 40, request=request)
    context, returned = run(case, backend, dropout=0.5)
    value, dropped = case.states[2], (context == 0).all(2)
    assert 0 < dropped.float().mean() < 1
    close(context[~dropped], 2 * value[~dropped])
    if request_scores:
        close(returned, torch.ones(40, 2))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("half", ["autocast", "weights"])
def test_scores_are_told_apart_in_half_precision(half, diagonal):
    tokens = 512
    query, key = torch.randn(2, 1, 2, tokens, 8).unbind()
    if half == "weights":
        query, key = query.bfloat16(), key.bfloat16()
    rows = torch.full((1, tokens), 1 / tokens)
    options = {"request": ScoreRequest(diagonal=diagonal), "scaling": 0.35}
    with torch.autocast("cpu", torch.bfloat16, enabled=half == "autocast"):
        _, score = softmax.attend(query, key, key, rows=rows, **options)
    assert score.dtype == torch.float32
    assert all(len(each.unique()) > 0.9 * tokens for each in score[0])
    exact = softmax.attend(*(t.double() for t in (query, key, key)), rows=rows, **options)[1]
    # What is left is the rounding of the matrix, which a mean over its rows evens out.
    assert (score / exact - 1).abs().max() < 0.01


class Largest(TorchDispatchMode):
    """Notes the entries of the largest tensor of floats that is made."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.entries = max(self.entries, result.numel())
        return result


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("keys", ["all", "shared", "each"])
@pytest.mark.parametrize("piece", [1, 9000, 30_000])
@pytest.mark.parametrize("backend", ["loop", "padded"])
def test_the_matrix_is_made_in_pieces(backend, piece, keys, window, monkeypatch):
    sizes = [60, 60, 60, 3, 0, 40]
    case = make_case(sizes, request=ScoreRequest(per_head=True), window=window)
    if keys != "all":
        alive = torch.rand(sum(sizes), *([2] if keys == "each" else [])) < 0.8
        case = replace(case, alive=alive)
    whole, scored = run(case, backend)
    monkeypatch.setattr(softmax, "_PIECE", piece)
    for tracked in (True, False):
        with torch.set_grad_enabled(tracked), Largest() as largest:
            pieces, scored_in_pieces = run(case, backend)
        close(pieces, whole)
        close(scored_in_pieces, scored)
        # One document's matrix is 7,200 entries, three are 21,600; a piece has 32 queries or more.
        # Padded states are six documents of 60 tokens.
        assert largest.entries <= max(piece, 32 * 2 * 60, 6 * 60 * 2 * SIZE)
