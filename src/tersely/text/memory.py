"""Columns in memory as lists: what numpy, pandas, polars and Arrow hand over, and scikit-learn.

No library is imported for it: every one of them can say its own values as a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tersely.errors import DataError

__all__ = ["as_list", "as_lists"]


def as_list(column: Any, what: str = "the texts") -> list[Any]:
    """The values of a column: a list, a tuple, an array, a series, an Arrow column, a generator.

    A table of one column (a data frame, an array `(documents, 1)`), as scikit-learn's pipelines
    pass them on, is that column.

    Args:
        column: the values, one a document.
        what: what to call them in messages.

    Raises:
        DataError: for a single text, a table of several columns, or something without values.

    Example:
        >>> import numpy as np
        >>> as_list(np.array(["a", "b"])), as_list(np.array([[1], [2]]))
        (['a', 'b'], [1, 2])
    """
    if isinstance(column, str | bytes):
        raise DataError(
            f"{what} must be one for each document, in a list, an array or a column, got a single "
            "string; put it into a list"
        )
    if isinstance(column, list | tuple):
        return list(column)
    shape = getattr(column, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        return _only_column(column, shape, what)
    # Arrow, polars, numpy and pandas, in this order: pandas' `tolist` makes Python's own values.
    for name in ("to_pylist", "to_list", "tolist"):
        method = getattr(column, name, None)
        if callable(method):
            return list(method())
    if isinstance(column, Sequence | Iterable) and not isinstance(column, dict):
        return list(column)
    raise DataError(
        f"{what} must be a list, an array or a column, got {type(column).__name__}; put them into "
        "a list"
    )


def as_lists(texts: Any, labels: Any, pairs: Any) -> tuple[list, list | None, list | None]:
    """Texts, labels and second texts as lists, whatever columns they came in; None stays None."""
    return (
        as_list(texts),
        None if labels is None else as_list(labels, "the labels"),
        None if pairs is None else as_list(pairs, "the second texts"),
    )


def _only_column(table: Any, shape: tuple[int, ...], what: str) -> list[Any]:
    if len(shape) != 2 or shape[1] != 1:
        raise DataError(
            f"{what} must be a single column, got shape {tuple(shape)}; choose the column"
        )
    if hasattr(table, "iloc"):
        return as_list(table.iloc[:, 0], what)
    if hasattr(table, "column"):
        return as_list(table.column(0), what)
    if hasattr(table, "to_series"):
        return as_list(table.to_series(0), what)
    return as_list(table.reshape(-1), what)
