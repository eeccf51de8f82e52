"""Ragged batches against a plain Python loop over the documents."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import Layout, Ragged

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=6)
# Few different values, so that ties are common; all are exact in float32.
TIED = st.sampled_from([-2.5, -1.0, -0.0, 0.0, 0.25, 1.0, 3.0])
FINITE = st.floats(-1e3, 1e3, width=32)
VALUES = st.one_of(TIED, FINITE)
DTYPES = st.sampled_from([torch.float32, torch.float64])


@st.composite
def documents(draw, values=VALUES):
    """Documents as lists of Python floats, empty and single ones among them."""
    return [[draw(values) for _ in range(length)] for length in draw(LENGTHS)]


def ragged(lists, dtype=torch.float32):
    return Ragged.from_list([torch.tensor(values, dtype=dtype) for values in lists])


def random_batch(lengths, *shape, dtype=torch.float32):
    return Ragged(torch.randn(sum(lengths), *shape, dtype=dtype), Layout.from_lengths(lengths))


# ---- there and back ----------------------------------------------------------------------------


@given(documents(), DTYPES)
def test_list_round_trip(lists, dtype):
    batch = ragged(lists, dtype)
    assert [values.tolist() for values in batch.to_list()] == lists
    assert [batch[number].tolist() for number in range(len(batch))] == lists
    assert batch[-1].tolist() == lists[-1]
    assert batch.values.dtype == dtype


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@given(lengths=LENGTHS)
def test_padded_round_trip(shape, lengths):
    batch = random_batch(lengths, *shape)
    padded, mask = batch.to_padded(-7.0)
    assert padded.shape == (len(lengths), max(lengths), *shape)
    assert mask.sum(1).tolist() == lengths
    assert all(not mask[number, length:].any() for number, length in enumerate(lengths))
    assert (padded[~mask] == -7).all()
    assert torch.equal(padded[mask], batch.values)


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Ragged(torch.zeros(3), torch.tensor([0, 2])), "covers 2 tokens .* 3 rows"),
        (lambda: Ragged.from_list([]), "at least one document"),
        (lambda: ragged([[1.0], []]).first(), "document 1 is empty"),
    ],
)
def test_errors(make, match):
    with pytest.raises(ValueError, match=match):
        make()


# ---- fewer and more tokens ---------------------------------------------------------------------


@given(documents(), st.randoms(use_true_random=False))
def test_select_removes(lists, randomness):
    marks = [[randomness.random() < 0.5 for _ in values] for values in lists]
    kept = ragged(lists).select(torch.tensor(sum(marks, []), dtype=torch.bool))
    expected = [
        [value for value, mark in zip(values, marked, strict=True) if mark]
        for values, marked in zip(lists, marks, strict=True)
    ]
    assert kept.values.shape == (sum(map(len, expected)),)
    assert [values.tolist() for values in kept.to_list()] == expected


@pytest.mark.parametrize("shape", [(), (3,)])
@given(lengths=LENGTHS, extra=st.integers(0, 3))
def test_append(shape, lengths, extra):
    batch, tail = random_batch(lengths, *shape), torch.randn(extra, *shape)
    for before, after in zip(batch.to_list(), batch.append(tail).to_list(), strict=True):
        assert torch.equal(after, torch.cat([before, tail]))


# ---- one figure per document -------------------------------------------------------------------

FIGURES = {
    "sum": (math.fsum, 0.0),
    "mean": (lambda values: math.fsum(values) / len(values), 0.0),
    "max": (max, -math.inf),
}


@pytest.mark.parametrize("name", FIGURES)
@given(lists=documents(), dtype=DTYPES)
def test_figures(name, lists, dtype):
    by_hand, empty = FIGURES[name]
    expected = torch.tensor([by_hand(v) if v else empty for v in lists], dtype=dtype)
    actual = getattr(ragged(lists, dtype), name)()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_figures_of_wider_values_are_taken_column_by_column(name, shape):
    batch = random_batch([3, 0, 1, 4], *shape)
    actual = getattr(batch, name)()
    assert actual.shape == (4, *shape)
    for column in range(shape[-1]):
        narrow = getattr(batch.with_values(batch.values[..., column]), name)()
        torch.testing.assert_close(actual[..., column], narrow)


@given(documents())
def test_first(lists):
    lists = [values or [1.5] for values in lists]
    assert ragged(lists).first().tolist() == [values[0] for values in lists]


# ---- gradients ---------------------------------------------------------------------------------

GRADIENTS = {
    "sum": lambda batch: batch.sum(),
    "mean": lambda batch: batch.mean(),
    "max": lambda batch: batch.max()[[0, 2]],
    "select": lambda batch: batch.select(torch.tensor([True, False, True, True, False])).values,
    "append": lambda batch: batch.append(batch.values[:2]).values,
    "to_padded": lambda batch: batch.to_padded()[0],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    layout = Layout.from_lengths([4, 0, 1])
    # Well apart, so that no finite difference changes the order.
    values = torch.tensor([0.5, -2.0, 3.0, 1.25, 0.75], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda values: GRADIENTS[name](Ragged(values, layout)), (values,)
    )
