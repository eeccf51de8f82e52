"""Order statistics inside segments against torch's and Python's sorting."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laconic.ragged import Layout, lowest, rank_keys, sorted_values

# Everything but NaN: both zeros, both infinities, subnormals.
FLOATS = st.floats(width=32, allow_nan=False)
TIED = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf])
SEGMENTS = st.lists(st.lists(st.one_of(TIED, FLOATS), max_size=6), min_size=1, max_size=5)


def flat(segments):
    layout = Layout.from_lengths([len(values) for values in segments])
    return torch.tensor(sum(segments, []), dtype=torch.float32), layout


def signed(value):
    """Python's order, with −0 below +0."""
    return (value, math.copysign(1.0, value))


@given(st.lists(st.one_of(TIED, FLOATS), min_size=1, max_size=20))
def test_rank_keys_order_as_the_floats_do(values):
    keys = rank_keys(torch.tensor(values, dtype=torch.float32)).tolist()
    assert all(0 <= key < 2**32 for key in keys)
    for value, key in zip(values, keys, strict=True):
        for other, other_key in zip(values, keys, strict=True):
            assert (signed(value) < signed(other)) == (key < other_key)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rank_keys_take_any_float_and_any_shape(dtype):
    values = torch.tensor([[-math.inf, -2.0, -0.0], [0.0, 0.5, math.inf]], dtype=dtype)
    keys = rank_keys(values)
    assert keys.shape == (2, 3) and keys.dtype == torch.int64
    assert (keys.flatten().diff() > 0).all()
    assert torch.equal(rank_keys(values.t()), keys.t())


@given(SEGMENTS)
def test_sorted_values(segments):
    values, layout = flat(segments)
    actual = sorted_values(values, layout.owners)
    expected = torch.tensor([v for part in segments for v in sorted(part, key=signed)])
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected.float())
    assert torch.equal(actual.signbit(), expected.float().signbit())


def test_sorted_values_as_torch_sorts_them():
    values, layout = torch.randn(3000), Layout.from_lengths([1000, 0, 1, 1999])
    expected = torch.cat([part.sort().values for part in values.split(layout.sizes)])
    assert torch.equal(sorted_values(values, layout.owners), expected)


def test_sorted_values_carry_no_gradient():
    values = torch.randn(4, requires_grad=True)
    assert not sorted_values(values, torch.zeros(4, dtype=torch.long)).requires_grad


@given(SEGMENTS, st.data())
def test_lowest_marks_the_later_of_equals(segments, data):
    values, layout = flat(segments)
    counts = [data.draw(st.integers(0, len(part))) for part in segments]
    marked = lowest(values, layout.offsets, layout.owners, torch.tensor(counts))
    expected = []
    for part, count in zip(segments, counts, strict=True):
        # The two zeros are equal here.
        order = sorted(range(len(part)), key=lambda place: (part[place], -place))
        expected += [place in set(order[:count]) for place in range(len(part))]
    assert marked.dtype == torch.bool
    assert marked.tolist() == expected


@pytest.mark.parametrize("value", [0.0, -math.inf, math.inf, -3.0])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_lowest_of_all_equal_values_goes_from_the_end(value, count):
    layout = Layout.from_lengths([3])
    marked = lowest(torch.full((3,), value), layout.offsets, layout.owners, torch.tensor([count]))
    assert marked.tolist() == [place >= 3 - count for place in range(3)]
