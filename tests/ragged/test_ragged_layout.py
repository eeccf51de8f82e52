"""Layouts against a plain Python loop over the documents."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import Layout, Run

# Few different lengths, so that neighbours are often equal, and empty ones stand between them.
LENGTHS = st.lists(st.integers(0, 3), min_size=0, max_size=8)


def by_hand(lengths):
    """The document and the place of each token."""
    return [(owner, place) for owner, length in enumerate(lengths) for place in range(length)]


def offsets_of(lengths):
    return torch.tensor([sum(lengths[:number]) for number in range(len(lengths) + 1)])


@pytest.mark.parametrize(
    "make",
    [
        Layout.from_lengths,
        lambda lengths: Layout.from_lengths(torch.tensor(lengths, dtype=torch.int32)),
        lambda lengths: Layout(offsets_of(lengths)),
        lambda lengths: Layout(offsets_of(lengths).int()),
    ],
    ids=["lengths", "length tensor", "offsets", "int32 offsets"],
)
@given(lengths=LENGTHS)
def test_boundaries(make, lengths):
    layout = make(lengths)
    assert layout.offsets.dtype == torch.long
    assert layout.offsets.tolist() == offsets_of(lengths).tolist()
    assert layout.lengths.tolist() == layout.sizes == lengths
    assert len(layout) == len(lengths)
    assert layout.tokens == sum(lengths)
    assert layout.longest == max(lengths, default=0)
    ids_and_positions = zip(layout.segment_ids.tolist(), layout.positions.tolist(), strict=True)
    assert list(ids_and_positions) == by_hand(lengths)
    assert repr(layout) == f"Layout(documents={len(lengths)}, tokens={sum(lengths)})"


def test_runs_of_an_example():
    layout = Layout.from_lengths([2, 2, 0, 2, 3])
    assert layout.runs == (Run(0, 2, 2, 0), Run(4, 1, 2, 3), Run(6, 1, 3, 4))
    assert [run.stop for run in layout.runs] == [4, 6, 9]


@given(LENGTHS, st.randoms(use_true_random=False))
def test_keep(lengths, randomness):
    mask = [randomness.random() < 0.5 for _ in range(sum(lengths))]
    kept = Layout.from_lengths(lengths).keep(torch.tensor(mask, dtype=torch.bool))
    expected = [0] * len(lengths)
    for (owner, _), mark in zip(by_hand(lengths), mask, strict=True):
        expected[owner] += mark
    assert kept.sizes == expected


@given(LENGTHS, st.integers(0, 3))
def test_grow(lengths, extra):
    layout = Layout.from_lengths(lengths)
    grown, places = layout.grow(extra)
    assert grown.sizes == [length + extra for length in lengths]
    expected = [sum(lengths[:owner]) + owner * extra + place for owner, place in by_hand(lengths)]
    assert places.tolist() == expected


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Layout(torch.tensor([[0, 2]])), r"one-dimensional .* got shape \(1, 2\)"),
        (lambda: Layout(torch.tensor([], dtype=torch.long)), r"starts with 0, got shape \(0,\)"),
        (lambda: Layout(torch.tensor([0.0, 2.0])), "integers .* torch.float32"),
        (lambda: Layout.from_lengths([2, -1]), r"not be negative, got \[2, -1\]"),
    ],
)
def test_errors(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 3), st.randoms())
def test_count(lengths, columns, random):
    layout = Layout.from_lengths(lengths)
    rows = [[random.random() < 0.5 for _ in range(columns)] for _ in range(layout.tokens)]
    mask = torch.tensor(rows, dtype=torch.bool).view(layout.tokens, columns)
    expected = [part.sum(0).tolist() for part in mask.split(lengths)]
    assert layout.count(mask).tolist() == expected
