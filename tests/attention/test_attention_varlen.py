"""The variable-length kernel: when it is taken, and how documents and heads are laid out for it.

The kernel itself needs a CUDA device; here a loop stands in for it, and one test compares the real
one with the library's own loop.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from attention_reference import Case, cases, close, gradients, make_case, run, varlen_reference
from hypothesis import given
from torch.nn.attention import varlen as torch_varlen

from tersely.attention import (
    Band,
    Connections,
    KeySet,
    Packing,
    ScoreRequest,
    loop,
    packed_attention,
    padded,
    varlen,
)
from tersely.attention.register import _choose
from tersely.ragged import ExportLayout, Layout

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
    close(*(gradients(case, lambda c, way=way: run(c, way)) for way in ("varlen", "dense")), 1e-9)


@pytest.mark.parametrize(("window", "reach"), [(None, 1), (4, 1), (2, 3)])
def test_a_pattern_that_is_a_band_is_a_window(kernel, window, reach):
    case = make_case([6, 3])
    query, key, value = (states.transpose(0, 1)[None] for states in case.states)
    packing = Packing(case.layout, connections=banded(reach), backend="varlen")
    context, _ = packed_attention(None, query, key, value, sliding_window=window, packing=packing)
    narrower = replace(case, window=min(reach + 1, window or 99))
    close(context[0], narrower.expected()[0])


TAKEN = [{}, {"keys": KEYS}, {"window": 4}, {"connections": banded(2)}]
# Flash kernels take heads of 8, 16, … 256 columns.
LEFT = [{"dtype": torch.float32}, {"device": "cpu"}, {"dropout": 0.1}, {"size": 33}, {"size": 264}]
LEFT += [{"scores": ScoreRequest()}, {"relative": torch.zeros(2, 3)}]
LEFT += [{"window": 4, "keys": KEYS}, {"window": 4, "positions": POSITIONS}]
LEFT += [{"connections": banded(2), "positions": POSITIONS}]
LEFT += [{"connections": banded(2, first=1)}, {"connections": banded(2, exact=False)}]
LEFT += [{"connections": Connections(lambda q, k: q >= 0, logs=lambda q, k: q * k)}]


@pytest.mark.parametrize(
    ("expected", "changes"), [*((True, each) for each in TAKEN), *((False, each) for each in LEFT)]
)
def test_the_back_end_that_is_picked(expected, changes):
    usual = {"dtype": torch.bfloat16, "device": "cuda", "dropout": 0.0, "size": 32}
    call = {name: changes.get(name, value) for name, value in usual.items()}
    device, shape = SimpleNamespace(type=call["device"]), (3, 2, call["size"])
    query = SimpleNamespace(dtype=call["dtype"], device=device, shape=shape)
    packing = Packing(LAYOUT, **{n: v for n, v in changes.items() if n not in usual})
    backend = loop if call["device"] == "cpu" else varlen if expected else padded
    assert _choose(query, packing, call["dropout"]) == backend.attend
    # One that a graph can hold, where nothing can branch on lengths.
    assert _choose(query, Packing(ExportLayout(5)), 0.0) == padded.attend_dense


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
