"""The validation split: nothing lost, classes in proportion, and the same for the same seed."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.errors import DataError, TerselyWarning
from tersely.text import Documents, split_numbers


def make(labels, count=None):
    texts = [f"text {index}" for index in range(len(labels) if labels else count)]
    return Documents.from_lists(texts, labels)


def split_validation(documents, **options):
    return tuple(documents.select(part) for part in split_numbers(documents, **options))


def positions(documents):
    return [int(text.split()[1]) for text in documents.texts]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=6).filter(lambda c: max(c) > 1),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_document_is_in_one_part(counts, fraction, seed):
    labels = [name for name, count in zip("abcdef", counts, strict=False) for _ in range(count)]
    documents = make(labels[::2] + labels[1::2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TerselyWarning)
        training, validation = split_validation(documents, fraction=fraction, seed=seed)
        again = split_validation(documents, fraction=fraction, seed=seed)
    assert sorted(positions(training) + positions(validation)) == list(range(len(documents)))
    assert positions(training) == sorted(positions(training))
    assert positions(validation) == sorted(positions(validation)) != []
    assert positions(again[1]) == positions(validation)
    single = {label for label, count in Counter(documents.labels).items() if count == 1}
    assert not single & set(validation.labels)


@pytest.mark.parametrize("labels", [[["a"], [], ["a", "b"]] * 10, [0.5, 1.0, 1.5] * 10, None])
def test_other_labels_are_shuffled_by_the_seed(labels):
    splits = [split_validation(make(labels, 30), fraction=0.2, seed=seed) for seed in range(3)]
    assert {(len(training), len(validation)) for training, validation in splits} == {(24, 6)}
    assert len({tuple(positions(validation)) for _, validation in splits}) == 3


def test_classes_keep_their_proportions_and_rare_ones_stay_in_training():
    _, validation = split_validation(make(["a"] * 80 + ["b"] * 20), fraction=0.25)
    assert Counter(validation.labels) == {"a": 20, "b": 5}
    with pytest.warns(TerselyWarning, match="1 of 3 classes .* 'c'"):
        training, validation = split_validation(make(["a"] * 20 + ["b"] * 20 + ["c"]))
    assert "c" in training.labels and len(validation) == 4
    with pytest.warns(TerselyWarning, match="holds 5 documents instead of 1"):
        _, validation = split_validation(make(list("abcde") * 2), fraction=0.1)
    assert sorted(validation.labels) == list("abcde")


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        (["a"], 0.5, "too few of a class"),
        ([f"class {number}" for number in range(600)], 0.1, "too few of a class"),
        (["a", "b"] * 4, 0.0, "between 0 and 1"),
        ([["a"]], 0.5, "too few"),
    ],
)
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_splits_that_cannot_be_made(labels, fraction, message):
    with pytest.raises(DataError, match=message):
        split_validation(make(labels), fraction=fraction)
