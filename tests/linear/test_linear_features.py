"""Features of packed rows against loops over documents."""

from collections import Counter

import pytest
import slow_linear as slow
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError
from tersely.linear import PieceFeatures
from tersely.linear.features import choose_owners, count_pairs
from tersely.ragged import Layout

SPECIAL = torch.zeros(slow.VOCABULARY, dtype=torch.bool)
SPECIAL[list(slow.SPECIAL)] = True


@given(slow.DOCUMENTS, slow.BUCKETS, st.integers(1, 2))
def test_each_bucket_belongs_to_its_most_frequent_pair(documents, buckets, least):
    ids, offsets = slow.row(documents)
    pairs, held = count_pairs(ids, Layout(offsets), SPECIAL)
    owners = choose_owners(pairs, held, buckets, least)
    assert owners.tolist() == slow.owners_of(documents, buckets, least)


@given(slow.DOCUMENTS, slow.DOCUMENTS, slow.BUCKETS)
def test_counts_are_those_of_loops(fitted, documents, buckets):
    owners = slow.owners_of(fitted, buckets, 1)
    ids, offsets = slow.row(documents)
    features = PieceFeatures(SPECIAL, torch.tensor(owners, dtype=torch.int16))
    counts = features.count(ids, Layout(offsets))
    sizes = counts.layout.sizes
    found = zip(counts.features.split(sizes), counts.counts.split(sizes), strict=True)
    pairs = [zip(f.tolist(), n.tolist(), strict=True) for f, n in found]
    got = [[(f, n) for f, n in document if f not in slow.SPECIAL] for document in pairs]
    assert got == [
        sorted(Counter(feature for feature, _ in slow.occurrences(document, owners)).items())
        for document in documents
    ]


@given(
    st.lists(st.integers(-3, 20), max_size=6), st.lists(st.integers(-2, 8), min_size=1, max_size=4)
)
def test_what_is_no_row_is_refused(ids, boundaries):
    row = torch.tensor(ids, dtype=torch.int64)
    spans = boundaries[0] == 0 and boundaries == sorted(boundaries) and boundaries[-1] == len(ids)
    fine = spans and all(0 <= piece < slow.VOCABULARY for piece in ids)
    features = PieceFeatures(SPECIAL, torch.zeros(7, dtype=torch.int16))
    if fine:
        assert (
            len(features.count(row, Layout(torch.tensor(boundaries))).layout) == len(boundaries) - 1
        )
        return
    with pytest.raises(DataError, match="input_ids must be"):
        features.count(row, Layout(torch.tensor(boundaries)))


@pytest.mark.parametrize("ids", [torch.zeros(2), torch.zeros(1, 2, dtype=torch.int64)])
def test_other_tensors_are_refused(ids):
    features = PieceFeatures(SPECIAL, torch.zeros(0, dtype=torch.int16))
    with pytest.raises(DataError, match="lay the documents end to end"):
        features.count(ids, Layout(torch.tensor([0, 2])))
