"""Order statistics inside segments against torch's and Python's sorting."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import ExportLayout, Layout, lowest, quantile_of_sorted, sorted_values

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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_sorted_values_take_any_float(dtype):
    values = torch.tensor([0.5, -0.0, -torch.inf, -2.0, torch.inf, 0.0], dtype=dtype)
    ordered = sorted_values(values, torch.zeros(6, dtype=torch.long))
    assert ordered.dtype == torch.float32
    assert ordered.tolist() == [-math.inf, -2.0, 0.0, 0.0, 0.5, math.inf]
    assert ordered.signbit().tolist() == [True, True, True, False, False, False]


@given(SEGMENTS)
def test_sorted_values(segments):
    values, layout = flat(segments)
    actual = sorted_values(values, layout.segment_ids)
    expected = torch.tensor([v for part in segments for v in sorted(part, key=signed)])
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected.float())
    assert torch.equal(actual.signbit(), expected.float().signbit())


@given(SEGMENTS, st.data())
def test_lowest_marks_the_later_of_equals(segments, data):
    values, layout = flat(segments)
    counts = [data.draw(st.integers(0, len(part))) for part in segments]
    marked = lowest(values, layout.segment_ids, layout.offsets[:-1], torch.tensor(counts))
    expected = []
    for part, count in zip(segments, counts, strict=True):
        # The two zeros are equal here.
        order = sorted(range(len(part)), key=lambda place: (part[place], -place))
        expected += [place in set(order[:count]) for place in range(len(part))]
    assert marked.dtype == torch.bool
    assert marked.tolist() == expected


@given(SEGMENTS, st.data())
def test_lowest_of_interleaved_segments(segments, data):
    values, layout = flat(segments)
    counts = torch.tensor([data.draw(st.integers(0, len(part))) for part in segments])
    # A stable shuffle: the values of a segment stay in their order.
    places = sorted(range(layout.tokens), key=lambda i: (int(layout.positions[i]), -i))
    apart = lowest(values[places], layout.segment_ids[places], layout.offsets[:-1], counts)
    together = lowest(values, layout.segment_ids, layout.offsets[:-1], counts)
    assert torch.equal(apart, together[places])


@given(SEGMENTS, st.floats(0, 1))
def test_quantiles_of_the_first_values_of_each_segment(segments, q):
    finite = [[v for v in part if math.isfinite(v) and abs(v) < 1e30] for part in segments]
    counts = [len(part) for part in finite]
    padded = [part + [math.inf] for part in finite]
    values, layout = flat(padded)
    ordered = sorted_values(values, layout.segment_ids)
    got = quantile_of_sorted(ordered, layout.offsets[:-1], torch.tensor(counts), q)
    for part, figure in zip(finite, got, strict=True):
        if not part:
            assert figure.isnan()
            continue
        expected = torch.tensor(part, dtype=torch.float32).quantile(q)
        torch.testing.assert_close(figure, expected, rtol=1e-5, atol=1e-6)


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_the_lowest_of_columns_are_those_of_segments(rows, counts):
    values = torch.tensor(rows, dtype=torch.float32)
    wanted = torch.tensor([counts]).clamp(max=len(rows))
    packed, one = Layout.from_lengths([len(rows)]), ExportLayout(len(rows))
    assert torch.equal(one.lowest(values, wanted), packed.lowest(values, wanted))
    assert torch.equal(one.sorted(values), packed.sorted(values))


@given(SEGMENTS)
def test_ranks_count_from_the_highest(segments):
    values, layout = flat(segments)
    expected = []
    for part in segments:
        order = sorted(range(len(part)), key=lambda place: (-part[place], place))
        expected += [order.index(place) for place in range(len(part))]
    assert layout.ranks(values).tolist() == expected


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_ranks_of_one_document_are_those_of_a_packed_one(row):
    values = torch.tensor(row, dtype=torch.float32)
    packed = Layout.from_lengths([len(row)])
    assert torch.equal(ExportLayout(len(row)).ranks(values), packed.ranks(values))
