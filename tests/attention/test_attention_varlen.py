"""The variable-length kernel: when it is taken, and how documents and heads are laid out for it.

The kernel itself needs a CUDA device; here a loop stands in for it, and one test compares the real
one with the library's own loop.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from attention_reference import Case, cases, close, make_case, run, varlen_reference
from hypothesis import given
from torch.nn.attention import varlen as torch_varlen

from tersely.attention import Band, Connections, KeySet, Packing, ScoreRequest, packed_attention
from tersely.attention.varlen import fits
from tersely.ragged import Layout

LAYOUT = Layout.from_lengths([2, 1])
KEYS = KeySet.from_mask(torch.tensor([True, False, True]), LAYOUT)
POSITIONS = torch.tensor([0, 5, 0])


def banded(reach: int, **fields) -> Connections:
    """A pattern that is said to be a band, of one reach in both documents."""
    return Connections(lambda q, k: q >= 0, Band([reach, reach], **{"exact": True} | fields))


@pytest.fixture(scope="module")
def kernel():
    """The stand-in, in the place of torch's kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_varlen, "varlen_attn", varlen_reference)
        yield


def supported(case: Case) -> Case:
    """The case, without its window where the kernel could not measure it, and without a bias."""
    case = replace(case, relative=None)
    whole = case.alive is None and case.positions is None
    return case if whole else replace(case, window=None, positions=None)


@given(case=cases())
def test_layout_for_the_kernel(kernel, case):
    case = supported(case)
    context, returned = run(case, "varlen")
    close(context, case.expected()[0])
    assert returned is None


@pytest.mark.parametrize(("window", "reach"), [(None, 1), (4, 1), (2, 3)])
def test_a_pattern_that_is_a_band_is_a_window(kernel, window, reach):
    case = make_case([6, 3])
    query, key, value = (states.transpose(0, 1)[None] for states in case.states)
    packing = Packing(case.layout, connections=banded(reach), backend="varlen")
    context, _ = packed_attention(None, query, key, value, sliding_window=window, packing=packing)
    narrower = replace(case, window=min(reach + 1, window or 99))
    close(context[0], narrower.expected()[0])


def test_a_pattern_with_global_tokens_is_refused_with_what_would_do(kernel):
    query = torch.randn(1, 2, 3, 8)
    packing = Packing(LAYOUT, connections=banded(1, first=1), backend="varlen")
    with pytest.raises(ValueError, match="give neighbours cls=False; use the back end 'padded'"):
        packed_attention(None, query, query, query, packing=packing)


@given(case=cases())
def test_gradients_come_back_through_the_layout(kernel, case):
    case = supported(case)
    outcomes = []
    for backend in ("varlen", "dense"):
        states = case.states.double().requires_grad_()
        context, _ = run(replace(case, states=states), backend)
        outcomes.append(torch.autograd.grad(context.sin().sum(), states)[0])
    close(*outcomes, 1e-9)


@pytest.mark.parametrize(
    ("marks", "rows", "counts"),
    [
        # As many keys in each head: the kernel takes the heads together.
        ([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1]], (5, 2), [2, 2]),
        # Not as many: each head of each document is a document of its own.
        ([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]], (10, 1), [2, 1, 1, 2]),
    ],
)
def test_heads_are_taken_apart_where_they_have_other_counts(marks, rows, counts, monkeypatch):
    seen = []

    def kernel(query, *others, **options):
        seen.append((query.shape[:2], others[3].diff().tolist()))
        return varlen_reference(query, *others, **options)

    monkeypatch.setattr(torch_varlen, "varlen_attn", kernel)
    run(make_case([3, 2], alive=torch.tensor(marks).bool()), "varlen")
    assert seen == [(rows, counts)]


@pytest.mark.parametrize(
    ("fields", "dropout", "match"),
    [
        ({"request": ScoreRequest()}, 0.0, "returns no scores and drops nothing"),
        ({}, 0.1, "returns no scores and drops nothing"),
        ({"window": 2, "alive": torch.tensor([True, False, True])}, 0.0, "measures a window"),
        ({"window": 2, "positions": POSITIONS}, 0.0, "measures a window"),
    ],
)
def test_what_the_kernel_cannot_do_is_refused(kernel, fields, dropout, match):
    with pytest.raises(ValueError, match=match):
        run(make_case([2, 1], **fields), "varlen", dropout=dropout)


# ---- when it is taken --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (True, {}),
        (True, {"dtype": torch.float16}),
        (False, {"dtype": torch.float32}),
        (False, {"device": "cpu"}),
        (False, {"device": "mps"}),
        (False, {"dropout": 0.1}),
        (False, {"scores": ScoreRequest()}),
        (True, {"keys": KEYS}),
        (True, {"positions": POSITIONS}),
        (True, {"window": 4}),
        (False, {"window": 4, "keys": KEYS}),
        (False, {"window": 4, "positions": POSITIONS}),
        (True, {"connections": banded(2)}),
        (True, {"connections": banded(2), "window": 4}),
        (False, {"connections": banded(2), "positions": POSITIONS}),
        (False, {"connections": banded(2, first=1)}),
        (False, {"connections": banded(2, exact=False)}),
        (False, {"connections": Connections(lambda q, k: q >= 0)}),
        (False, {"connections": Connections(lambda q, k: q >= 0, logs=lambda q, k: q * k)}),
        (False, {"relative": torch.zeros(2, 3)}),
        # Flash kernels take heads of 8, 16, … 256 columns.
        (False, {"size": 33}),
        (False, {"size": 264}),
        (True, {"size": 72}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_fits(expected, changes):
    made = {
        "dtype": torch.bfloat16,
        "device": "cuda",
        "dropout": 0.0,
        "window": None,
        "size": 32,
    } | changes
    query = SimpleNamespace(
        dtype=made["dtype"], device=SimpleNamespace(type=made["device"]), shape=(3, 2, made["size"])
    )
    fields = {
        name: made[name]
        for name in ("keys", "scores", "positions", "connections", "relative")
        if name in made
    }
    packing = Packing(LAYOUT, **fields)
    assert fits(query, packing, made["dropout"], made["window"]) is expected


# ---- the real one ------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("keys", "window"), [("all", None), ("all", 16), ("shared", None), ("each", None)]
)
def test_the_kernel_agrees_with_the_loop(keys, window):
    sizes, heads = [40, 1, 40, 130], 4
    alive = None
    if keys != "all":
        alive = torch.rand(sum(sizes), *([heads] if keys == "each" else [])) < 0.7
        # A first token that lost its only key would be a document without any.
        alive[[0, 40, 41, 81]] = True
    # What bfloat16 can hold, so that only the arithmetic differs.
    states = torch.randn(3, sum(sizes), heads, 32).bfloat16().cuda()
    layout = Layout.from_lengths(sizes, "cuda")
    keys = None if alive is None else KeySet.from_mask(alive.cuda(), layout)
    outcomes = {}
    for backend, dtype in (("varlen", torch.bfloat16), ("loop", torch.float32)):
        query, key, value = (part.to(dtype).transpose(0, 1)[None] for part in states)
        packing = Packing(layout, keys, backend=backend)
        outcomes[backend], _ = packed_attention(
            None, query, key, value, sliding_window=window, packing=packing
        )
    close(outcomes["varlen"].float(), outcomes["loop"], 2e-2)
