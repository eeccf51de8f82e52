"""Columns in memory: every kind becomes the same list, and what is no column is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tersely.errors import DataError
from tersely.text.documents import as_list

WORDS = ["a", "b", "a"]


def kinds():
    yield "list", list(WORDS)
    yield "tuple", tuple(WORDS)
    yield "generator", (word for word in WORDS)
    yield "numpy", np.array(WORDS)
    yield "numpy objects", np.array(WORDS, dtype=object)
    yield "numpy column", np.array(WORDS)[:, None]
    yield "arrow", pa.array(WORDS)
    yield "arrow chunks", pa.chunked_array([WORDS[:1], WORDS[1:]])
    yield "arrow dictionary", pa.array(WORDS).dictionary_encode()
    yield "arrow table", pa.table({"text": WORDS})


@pytest.mark.parametrize(("name", "column"), list(kinds()), ids=[name for name, _ in kinds()])
def test_every_kind_is_the_same_list(name, column):
    values = as_list(column)
    assert values == WORDS and all(type(value) is str for value in values)


@pytest.mark.parametrize("make", ["Series", "categorical", "DataFrame", "arrow strings"])
def test_pandas(make):
    pandas = pytest.importorskip("pandas")
    # An index that does not count from 0, as a split leaves it.
    column = pandas.Series(WORDS, index=[7, 3, 5])
    column = {
        "Series": column,
        "categorical": column.astype("category"),
        "DataFrame": column.to_frame("text"),
        "arrow strings": column.astype(pandas.ArrowDtype(pa.string())),
    }[make]
    assert as_list(column) == WORDS


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("a text", "got a single string"),
        (b"a text", "got a single string"),
        (np.array([["a", "b"]]), r"got shape \(1, 2\)"),
        (np.array("a"), "single column"),
        (pa.table({"a": WORDS, "b": WORDS}), r"got shape \(3, 2\)"),
        ({"a": 1}, "got dict"),
        (3, "got int"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_column_is_refused(column, said):
    with pytest.raises(DataError, match=said):
        as_list(column)
