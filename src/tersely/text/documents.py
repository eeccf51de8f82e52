"""The documents of one source: texts, labels where there are some, and the table they came from.

The whole input table travels along, so that predictions can be written next to every input
column in the input's order.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tersely.errors import DataError, TerselyWarning, name_all, name_rows
from tersely.text.columns import choose_columns, column_values
from tersely.text.labels import (
    PROBLEM_TYPES,
    REGRESSION,
    Labels,
    is_missing,
    kind_of,
    parse_labels,
    refuse_mixture,
)
from tersely.text.tables import read_table


@dataclass(frozen=True)
class Documents:
    """Texts with their labels and their input columns, all in the order of the source.

    Attributes:
        texts: one text a document; may be empty text.
        labels: strings (one label each), lists of strings (several), floats (regression), or
            None where the source has no labels.
        pairs: the second texts of text pairs, or None.
        table: every input column in input order, one row a document.
        source: what to call the source in messages.
        text_column: the column the texts came from, given or guessed.
        pair_column: the column the second texts came from, or None.
        label_column: the column the labels came from, or None.

    Example:
        >>> documents = Documents.from_lists(["good", "bad", "fine"], ["pos", "neg", "pos"])
        >>> len(documents)
        3
        >>> documents.select([2, 0]).texts
        ['fine', 'good']
    """

    texts: list[str]
    labels: Labels | None
    pairs: list[str] | None
    table: pa.Table
    source: str
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int]) -> Documents:
        """Return the documents at these positions, counted from 0, in this order."""
        positions = [int(index) for index in indices]
        return replace(
            self,
            texts=[self.texts[position] for position in positions],
            labels=None if self.labels is None else [self.labels[i] for i in positions],
            pairs=None if self.pairs is None else [self.pairs[i] for i in positions],
            table=self.table.take(pa.array(positions, pa.int64())),
        )

    @classmethod
    def from_lists(cls, texts: Any, labels: Any = None, pairs: Any = None) -> Documents:
        """Make documents from columns in memory: whatever `as_list` takes.

        Args:
            texts: one string a document.
            labels: one entry a document: strings, whole numbers or booleans (a class each),
                lists of them (several), floats (regression); None for no labels.
            pairs: second texts of text pairs; None for single texts.

        Raises:
            DataError: if the lengths differ, a text is not a string, or a label does not fit.
        """
        texts, pairs = as_texts(texts, pairs)
        columns: dict[str, list[Any]] = {"text": texts}
        if pairs is not None:
            columns["text_pair"] = pairs
        if labels is not None:
            cells = as_list(labels, "the labels")
            # A list, unlike a file, says by its type that its numbers are measurements.
            measured = bool(cells) and all(isinstance(cell, float | np.floating) for cell in cells)
            columns["label"] = parse_labels(
                cells, where="the list of labels", problem_type=REGRESSION if measured else None
            )
            _refuse_other_lengths(columns)
        return cls(
            texts=columns["text"],
            labels=columns.get("label"),
            pairs=columns.get("text_pair"),
            table=pa.table(columns),
            source="the given texts",
            text_column="text",
            pair_column="text_pair" if pairs is not None else None,
            label_column="label" if labels is not None else None,
        )


def read_documents(
    source: str | Path,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: Literal["required", "optional", "ignore"] = "optional",
    label_separator: str | None = None,
    problem_type: str | None = None,
    split: str | None = None,
) -> Documents:
    r"""Read documents from a file, a folder, standard input or the Hub.

    Args:
        source: a .csv, .tsv, .jsonl, .ndjson, .parquet or .txt file, also with .gz or .zst; a
            folder of class folders, of text files, or of data files of one kind; `-` for
            standard input as one document; or a Hub data set as `name`, `owner/name:split` or
            `name:configuration:split`.
        text_column: the column of texts; guessed by default.
        text_pair_column: the column of second texts of text pairs.
        label_column: the column of labels; guessed by default.
        labels: `"required"` raises where there are none, `"optional"` reads them where there are,
            `"ignore"` leaves them alone.
        label_separator: splits a cell into several labels; by default cells are split, at `|`,
            only where the problem type is multi-label.
        problem_type: one of transformers' problem types; by default what the labels look like.
        split: the split of a Hub data set, where the source does not name it.

    Returns:
        The documents in the order of the source, with every column of it.

    Raises:
        DataError: if the source, a column, a text or a label cannot be used.
        MissingExtraError: if a Hub data set is asked for and `datasets` is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.csv")
        ...     _ = path.write_text("text,label\ngood,pos\nbad,neg\n")
        ...     documents = read_documents(path, labels="required")
        >>> documents.texts, documents.labels
        (['good', 'bad'], ['pos', 'neg'])
    """
    _check_choice("labels", labels, ("required", "optional", "ignore"))
    if problem_type is not None:
        _check_choice("problem_type", problem_type, PROBLEM_TYPES)
    table, name = read_table(source, split)
    columns = choose_columns(
        table,
        name,
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=label_column,
        labels=labels,
        problem_type=problem_type,
    )
    texts = _read_texts(table, columns.text, name)
    parsed = None
    if columns.label is not None:
        where = f"column {columns.label!r} of {name}"
        cells = column_values(table, columns.label)
        if labels == "optional" and all(map(is_missing, cells)):
            warnings.warn(
                f"{where} holds no label; the documents are taken as unlabelled",
                TerselyWarning,
                stacklevel=2,
            )
        else:
            parsed = parse_labels(
                cells, where=where, problem_type=problem_type, separator=label_separator
            )
    return Documents(
        texts=texts,
        labels=parsed,
        pairs=None if columns.pair is None else _read_texts(table, columns.pair, name),
        table=table,
        source=name,
        text_column=columns.text,
        pair_column=columns.pair,
        label_column=None if parsed is None else columns.label,
    )


def _check_choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DataError(f"{what} must be one of {name_all(choices)}, not {value!r}")


def _read_texts(table: pa.Table, column: str, source: str) -> list[str]:
    where = f"column {column!r} of {source}"
    columns = f"its columns are {name_all(table.column_names)}"
    texts = _check_texts(column_values(table, column), where, advice=columns)
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if len(empty) == len(texts):
        raise DataError(f"{where} is empty in every row; {columns}; choose another")
    if empty:
        warnings.warn(
            f"{where} has empty text in {name_rows(empty)} of {len(texts)}; they are kept",
            TerselyWarning,
            stacklevel=3,
        )
    return texts


# ---- columns in memory ---------------------------------------------------------------------------


def as_texts(texts: Any, pairs: Any = None) -> tuple[list[str], list[str] | None]:
    """Return texts and second texts as lists, whatever columns they came in.

    Raises:
        DataError: as `as_list`; if a text is null, not a string, or cannot be written as UTF-8; or
            if there are not as many second texts as texts.
    """
    texts = _check_texts(as_list(texts), "the list of texts")
    if pairs is not None:
        pairs = _check_texts(as_list(pairs, "the second texts"), "the list of second texts")
        _refuse_other_lengths({"text": texts, "text_pair": pairs})
    return texts, pairs


def as_list(column: Any, what: str = "the texts") -> list[Any]:
    """Return the values of a column: of a list, an array, a series, an Arrow column, a generator.

    No library is imported for it: every one of them can say its own values as a list. A table of
    one column (a data frame, an array `(documents, 1)`), as scikit-learn's pipelines pass them on,
    is that column.

    Args:
        column: the values, one a document.
        what: what to call them in messages.

    Raises:
        DataError: for a single text, a table of several columns, or something without values.

    Example:
        >>> as_list(np.array(["a", "b"])), as_list(np.array([[1], [2]]))
        (['a', 'b'], [1, 2])
    """
    if isinstance(column, str | bytes):
        raise DataError(
            f"{what} must be one for each document, in a list, an array or a column, got a single "
            "string; put it into a list"
        )
    shape = getattr(column, "shape", (0,))
    if len(shape) != 1:
        if len(shape) != 2 or shape[1] != 1:
            raise DataError(
                f"{what} must be a single column, got shape {tuple(shape)}; choose the column"
            )
        column = np.asarray(column)[:, 0]
    # Arrow, polars, numpy and pandas, in this order: pandas' `tolist` makes Python's own values.
    for name in ("to_pylist", "to_list", "tolist"):
        if callable(method := getattr(column, name, None)):
            return list(method())
    if isinstance(column, Iterable) and not isinstance(column, dict):
        return list(column)
    raise DataError(
        f"{what} must be a list, an array or a column, got {type(column).__name__}; put them into "
        "a list"
    )


def _check_texts(cells: list[Any], where: str, *, advice: str = "give strings") -> list[str]:
    missing = [row for row, cell in enumerate(cells) if cell is None]
    if missing:
        raise DataError(
            f"{where} must hold a text in every row, and is null in {name_rows(missing)}; fill "
            "them in (empty text is allowed) or leave these rows out"
        )
    refuse_mixture(cells, where)
    for row, cell in enumerate(cells, start=1):
        if not isinstance(cell, str):
            raise DataError(
                f"{where} must hold text, and row {row} holds {kind_of(cell)}; {advice}"
            )
        try:
            cell.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where} must hold whole characters, and row {row} holds half of a surrogate "
                "pair; correct it or leave this row out"
            ) from error
    return cells


def _refuse_other_lengths(columns: dict[str, list[Any]]) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{count} in {name}" for name, count in lengths.items())
        raise DataError(f"the lists must be equally long, and there are {found}")
