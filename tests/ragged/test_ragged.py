"""Layouts, order statistics in their documents, and ragged batches, against plain Python loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import ExportLayout, Layout, Ragged, quantile_of_sorted
from tersely.ragged.layout import Run

# Few different lengths, so that neighbours are often equal, and empty ones stand between them.
SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=6)
LENGTHS = st.lists(st.integers(0, 3), min_size=0, max_size=8)
# Everything but NaN: both zeros, both infinities, subnormals.
TIED = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf])
FLOATS = st.one_of(TIED, st.floats(width=32, allow_nan=False))
SEGMENTS = st.lists(st.lists(FLOATS, max_size=6), min_size=1, max_size=5)


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
        lambda lengths: Layout(offsets_of(lengths).int()),
    ],
    ids=["lengths", "length tensor", "offsets"],
)
@given(lengths=LENGTHS)
def test_boundaries(make, lengths):
    layout = make(lengths)
    assert layout.offsets.dtype == torch.long
    assert layout.offsets.tolist() == offsets_of(lengths).tolist()
    assert layout.lengths.tolist() == layout.sizes == lengths
    assert (len(layout), layout.tokens) == (len(lengths), sum(lengths))
    assert layout.longest == max(lengths, default=0)
    ids_and_positions = zip(layout.segment_ids.tolist(), layout.positions.tolist(), strict=True)
    assert list(ids_and_positions) == by_hand(lengths)


def test_runs_of_an_example():
    layout, keys = Layout.from_lengths([2, 2, 0, 2, 3]), Layout.from_lengths([1, 2, 0, 2, 3])
    assert layout.runs == (Run(0, 2, 0, 2, 0, 2), Run(3, 1, 4, 2, 4, 2), Run(4, 1, 6, 3, 6, 3))
    assert [run.tokens for run in layout.runs] == [slice(0, 4), slice(4, 6), slice(6, 9)]
    with_keys = layout.runs_with(keys)
    assert [run.keys for run in with_keys] == [slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 8)]
    assert [list(run.numbers) for run in with_keys] == [[0], [1], [3], [4]]


@given(LENGTHS, st.integers(1, 3), st.randoms())
def test_count_and_keep(lengths, columns, random):
    layout = Layout.from_lengths(lengths)
    rows = [[random.random() < 0.5 for _ in range(columns)] for _ in range(layout.tokens)]
    mask = torch.tensor(rows, dtype=torch.bool).view(layout.tokens, columns)
    expected = [part.sum(0).tolist() for part in mask.split(lengths)] if lengths else []
    assert layout.count(mask).tolist() == expected
    assert layout.keep(mask[:, 0]).sizes == [counts[0] for counts in expected]


@pytest.mark.parametrize("shape", [(), (3,)])
@given(lengths=SIZES, extra=st.integers(0, 3))
def test_append(shape, lengths, extra):
    values, tail = torch.randn(sum(lengths), *shape), torch.randn(extra, *shape)
    row, layout = Layout.from_lengths(lengths).append(values, tail)
    for before, after in zip(values.split(lengths), row.split(layout.sizes), strict=True):
        assert torch.equal(after, torch.cat([before, tail]))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Layout(torch.tensor([[0, 2]])), r"one-dimensional .* got shape \(1, 2\)"),
        (lambda: Layout(torch.tensor([0.0, 2.0])), "integers .* torch.float32"),
        (lambda: Layout.from_lengths([2, -1]), r"not be negative, got \[2, -1\]"),
        (lambda: Ragged(torch.zeros(3), torch.tensor([0, 2])), "covers 2 tokens .* 3 rows"),
        (lambda: Ragged.from_list([]), "at least one document"),
        (lambda: ragged([[1.0], []]).first(), "document 1 is empty"),
    ],
)
def test_errors(make, match):
    with pytest.raises(ValueError, match=match):
        make()


# ---- order statistics --------------------------------------------------------------------------


def flat(segments):
    layout = Layout.from_lengths([len(values) for values in segments])
    return torch.tensor(sum(segments, []), dtype=torch.float32), layout


@given(SEGMENTS)
def test_sorted(segments):
    values, layout = flat(segments)
    actual = layout.sorted(values[:, None])
    ordered = [sorted(part, key=lambda v: (v, math.copysign(1.0, v))) for part in segments]
    expected = torch.tensor(sum(ordered, [])).float()
    assert torch.equal(actual, expected)
    assert torch.equal(actual.signbit(), expected.signbit()), "−0 before +0"


@given(SEGMENTS, st.data())
def test_lowest_marks_the_later_of_equals(segments, data):
    values, layout = flat(segments)
    counts = [data.draw(st.integers(0, len(part))) for part in segments]
    expected = []
    for part, count in zip(segments, counts, strict=True):
        # The two zeros are equal here.
        order = sorted(range(len(part)), key=lambda place: (part[place], -place))
        expected += [place in set(order[:count]) for place in range(len(part))]
    columns = torch.stack([values, values.flip(0)], 1)
    marked = layout.lowest(columns, torch.tensor([[count, 0] for count in counts]))
    assert marked[:, 0].tolist() == expected and not marked[:, 1].any()


@given(SEGMENTS, st.floats(0, 1))
def test_quantiles_of_the_first_values_of_each_segment(segments, q):
    finite = [[v for v in part if math.isfinite(v) and abs(v) < 1e30] for part in segments]
    values, layout = flat([part + [math.inf] for part in finite])
    counts = torch.tensor([len(part) for part in finite])
    got = quantile_of_sorted(layout.sorted(values[:, None]), layout.offsets[:-1], counts, q)
    for part, figure in zip(finite, got, strict=True):
        expected = torch.tensor(part).float().quantile(q) if part else torch.tensor(torch.nan)
        torch.testing.assert_close(figure, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@given(SEGMENTS)
def test_ranks_count_from_the_highest(segments):
    values, layout = flat(segments)
    expected = []
    for part in segments:
        order = sorted(range(len(part)), key=lambda place: (-part[place], place))
        expected += [order.index(place) for place in range(len(part))]
    assert layout.ranks(values).tolist() == expected


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_one_document_as_exporters_see_it_is_ordered_alike(rows, counts):
    values = torch.tensor(rows, dtype=torch.float32)
    wanted = torch.tensor([counts]).clamp(max=len(rows))
    packed, one = Layout.from_lengths([len(rows)]), ExportLayout(len(rows))
    assert torch.equal(one.lowest(values, wanted), packed.lowest(values, wanted))
    assert torch.equal(one.sorted(values), packed.sorted(values))
    assert torch.equal(one.ranks(values[:, 0]), packed.ranks(values[:, 0]))


# ---- batches -----------------------------------------------------------------------------------

# Few different values, so that ties are common; all are exact in float32.
EXACT = st.sampled_from([-2.5, -1.0, -0.0, 0.0, 0.25, 1.0, 3.0])
VALUES = st.one_of(EXACT, st.floats(-1e3, 1e3, width=32))
DOCUMENTS = st.lists(st.lists(VALUES, max_size=5), min_size=1, max_size=6)
DTYPES = st.sampled_from([torch.float32, torch.float64])


def ragged(lists, dtype=torch.float32):
    return Ragged.from_list([torch.tensor(values, dtype=dtype) for values in lists])


def random_batch(lengths, *shape):
    return Ragged(torch.randn(sum(lengths), *shape), Layout.from_lengths(lengths))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@given(lengths=SIZES)
def test_padded_round_trip(shape, lengths):
    batch = random_batch(lengths, *shape)
    padded, mask = batch.to_padded(-7.0)
    assert padded.shape == (len(lengths), max(lengths), *shape)
    assert torch.equal(mask, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])
    assert (padded[~mask] == -7).all()
    assert torch.equal(padded[mask], batch.values)


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

FIGURES = {"sum": math.fsum, "mean": lambda values: math.fsum(values) / len(values)}


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
