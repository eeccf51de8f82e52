"""Ragged batches against a plain Python loop over the documents."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import Layout, Ragged

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=6)
# Few different values, so that ties are common; all are exact in float32.
TIED = st.sampled_from([-2.5, -1.0, -0.0, 0.0, 0.25, 1.0, 3.0])
VALUES = st.one_of(TIED, st.floats(-1e3, 1e3, width=32))
DOCUMENTS = st.lists(st.lists(VALUES, max_size=5), min_size=1, max_size=6)
DTYPES = st.sampled_from([torch.float32, torch.float64])


def ragged(lists, dtype=torch.float32):
    return Ragged.from_list([torch.tensor(values, dtype=dtype) for values in lists])


def random_batch(lengths, *shape):
    return Ragged(torch.randn(sum(lengths), *shape), Layout.from_lengths(lengths))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@given(lengths=LENGTHS)
def test_padded_round_trip(shape, lengths):
    batch = random_batch(lengths, *shape)
    padded, mask = batch.to_padded(-7.0)
    assert padded.shape == (len(lengths), max(lengths), *shape)
    assert torch.equal(mask, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])
    assert (padded[~mask] == -7).all()
    assert torch.equal(padded[mask], batch.values)


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


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_select_removes(lists, randomness):
    marks = [[randomness.random() < 0.5 for _ in values] for values in lists]
    kept = ragged(lists).select(torch.tensor(sum(marks, []), dtype=torch.bool))
    expected = [
        [value for value, mark in zip(values, marked, strict=True) if mark]
        for values, marked in zip(lists, marks, strict=True)
    ]
    assert [values.tolist() for values in kept.to_list()] == expected


# ---- one figure per document -------------------------------------------------------------------

FIGURES = {
    "sum": math.fsum,
    "mean": lambda values: math.fsum(values) / len(values),
}


@pytest.mark.parametrize("name", FIGURES)
@given(lists=DOCUMENTS, dtype=DTYPES)
def test_figures(name, lists, dtype):
    by_hand = FIGURES[name]
    expected = torch.tensor([by_hand(v) if v else 0.0 for v in lists], dtype=dtype)
    actual = getattr(ragged(lists, dtype), name)()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-3)


GRADIENTS = {
    "sum": lambda batch: batch.sum(),
    "mean": lambda batch: batch.mean(),
    "select": lambda batch: batch.select(torch.tensor([True, False, True, True, False])).values,
    "append": lambda batch: batch.layout.append(batch.values, batch.values[:2])[0],
    "to_padded": lambda batch: batch.to_padded()[0],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    layout = Layout.from_lengths([4, 0, 1])
    # Well apart, so that no finite difference changes the order.
    values = torch.tensor([0.5, -2.0, 3.0, 1.25, 0.75], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: GRADIENTS[name](Ragged(v, layout)), (values,))
