"""All back ends against attention from its definition, and against one another."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from attention_reference import SIZE, Case, cases, close, make_case, run
from hypothesis import given
from torch.utils._python_dispatch import TorchDispatchMode

from tersely.attention import ScoreRequest, loop, softmax

BACKENDS = ("loop", "dense", "padded")


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=cases())
def test_context(backend, case):
    expected = case.expected()[0]
    # Without gradients the matrix may be made in other ways.
    for tracked in (True, False):
        with torch.set_grad_enabled(tracked):
            context, returned = run(case, backend)
        close(context, expected)
        assert returned is None


@given(case=cases())
def test_context_of_documents_that_are_long_enough_for_the_fused_kernel(case):
    with patch.object(loop, "_FUSED_FROM", 0), torch.no_grad():
        context, _ = run(case, "loop")
    close(context, case.expected()[0])


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=cases(scores=True))
def test_context_and_scores(backend, case):
    expected, scored = case.expected()[0], case.expected_places()
    for tracked in (True, False):
        with torch.set_grad_enabled(tracked):
            context, returned = run(case, backend)
        close(context, expected)
        close(returned, scored)


def gradients(case: Case, compute):
    """Gradients of the three states under a fixed random cotangent, context and scores together."""
    states = case.states.double().requires_grad_()
    context, returned = compute(replace(case, states=states))
    generator = torch.Generator().manual_seed(1)
    cost = (context * torch.randn(context.shape, generator=generator)).sum()
    if returned is not None:
        cost = cost + (returned * torch.randn(returned.shape, generator=generator)).sum()
    return torch.autograd.grad(cost, states)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=cases(scores=True))
def test_gradients_of_context_and_differentiable_scores(backend, case):
    case = replace(case, request=replace(case.request, differentiable=True))
    actual = gradients(case, lambda case: run(case, backend))
    expected = gradients(case, lambda case: (case.expected()[0], case.expected_places()))
    # Column weights are float32 in the library.
    close(actual, expected, 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=cases())
def test_gradients_without_scores(backend, case):
    actual = gradients(case, lambda case: run(case, backend))
    close(actual, gradients(case, lambda case: (case.expected()[0], None)), 1e-9)


@pytest.mark.parametrize("differentiable", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_carry_gradients_only_where_asked(backend, differentiable):
    case = make_case([3, 2], request=ScoreRequest(differentiable=differentiable))
    context, returned = run(replace(case, states=case.states.requires_grad_()), backend)
    assert context.requires_grad
    assert returned.requires_grad is differentiable


# ---- a document's result is its own ------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
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


# ---- windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("request_scores", [True, False])
def test_a_query_that_sees_no_key_gives_zeros_and_finite_gradients(backend, request_scores):
    alive = torch.tensor([True, False, False, False, False, True])
    request = ScoreRequest(per_head=True, differentiable=True) if request_scores else None
    case = make_case([4, 2], alive=alive, window=2, request=request)
    states = case.states.clone().requires_grad_()
    context, returned = run(replace(case, states=states), backend)
    assert (context[2:4] == 0).all()
    assert (context[[0, 1, 4, 5]] != 0).all()
    cost = context.square().sum() + (returned.square().sum() if request_scores else 0)
    assert torch.autograd.grad(cost, states)[0].isfinite().all()


# ---- dropout, and rows too large to be held ----------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("request_scores", [True, False])
def test_dropout_takes_weights_away_and_scales_the_others_but_not_the_scores(
    backend, request_scores
):
    request = ScoreRequest(per_head=True) if request_scores else None
    # Documents of one token: the only weight is 1, so it is dropped or doubled.
    case = make_case([1] * 40, request=request)
    context, returned = run(case, backend, dropout=0.5)
    value = case.states[2]
    dropped = (context == 0).all(2)
    assert 0 < dropped.float().mean() < 1
    close(context[~dropped], 2 * value[~dropped])
    if request_scores:
        close(returned, torch.ones(40, 2))


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
