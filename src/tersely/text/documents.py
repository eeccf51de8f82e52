"""The documents of one source: texts, labels where there are some, and the table they came from.

The whole input table travels along, so that predictions can be written next to every input column
in the input's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa

from tersely.errors import DataError, name_all, name_rows, warn
from tersely.text.columns import as_list, as_texts, check_lengths, check_texts, choose_columns
from tersely.text.labels import (
    PROBLEM_TYPES,
    REGRESSION,
    Labels,
    are_whole,
    is_blank,
    is_missing,
    parse_labels,
)
from tersely.text.tables import read_table


@dataclass(frozen=True)
class Documents:
    """Texts with their labels and their input columns, all in the order of the source.

    Labels are strings (one label each), lists of strings (several) or floats (regression); None
    where the source has none.

    Example:
        >>> documents = Documents.from_lists(["good", "bad", "fine"], ["pos", "neg", "pos"])
        >>> documents.select([2, 0]).texts
        ['fine', 'good']
    """

    texts: list[str]  # may be empty text
    labels: Labels | None
    pairs: list[str] | None  # the second texts of text pairs
    table: pa.Table  # every input column in input order, one row a document
    source: str  # what to call the source in messages
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    whole_labels: bool = False  # whether these were whole numbers, which Python then answers with

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def contents(self) -> list[Any]:
        """What the documents say: their texts, or the two of each pair."""
        both = self.pairs is not None
        return list(zip(self.texts, self.pairs, strict=True)) if both else self.texts

    def select(self, indices: Sequence[int]) -> Self:
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
    def from_lists(cls, texts: Any, labels: Any = None, pairs: Any = None) -> Self:
        """Make documents from columns in memory: whatever `as_list` takes.

        Args:
            texts: one string a document.
            labels: one entry a document: strings, whole numbers or booleans (a class each),
                lists of them (several), floats (regression); None for no labels.
            pairs: second texts of text pairs; None for single texts.

        Raises:
            DataError: if the lengths differ, a text is not a string, or a label does not fit.
        """
        (texts, pairs), whole = as_texts(texts, pairs), False
        if labels is not None:
            cells = as_list(labels, "the labels")
            check_lengths(texts, cells, "labels")
            # A list, unlike a file, says by its type that its numbers are measurements.
            measured = bool(cells) and all(isinstance(cell, float | np.floating) for cell in cells)
            problem_type, whole = REGRESSION if measured else None, are_whole(cells)
            labels = parse_labels(cells, "the list of labels", problem_type)
        columns = {"text": texts, "text_pair": pairs, "label": labels}
        given = {name: values for name, values in columns.items() if values is not None}
        found = (name if name in given else None for name in columns)
        return cls(texts, labels, pairs, pa.table(given), "the given texts", *found, whole)


def read_documents(
    source: str | Path,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: Literal["required", "optional", "ignore"] = "optional",
    problem_type: str | None = None,
) -> Documents:
    r"""Read documents from a file, a folder, standard input or the Hub, in its order.

    Args:
        source: a .csv, .tsv, .jsonl, .ndjson, .parquet or .txt file, also with .gz or .zst; a
            folder of class folders; `-` for standard input as one document; or a Hub data set as
            `name`, `owner/name:split` or `name:configuration:split`.
        text_column: the column of texts; guessed by default.
        text_pair_column: the column of second texts of text pairs.
        label_column: the column of labels; guessed by default.
        labels: `"required"` raises where there are none, `"optional"` reads them where there are,
            `"ignore"` leaves them alone.
        problem_type: one of transformers' problem types; by default what the labels look like.
            Cells with a `|` between several labels are split where it is multi-label.

    Raises:
        DataError: if the source, a column, a text or a label cannot be used.
        MissingExtraError: if a Hub data set is asked for and `datasets` is not installed.

    Example:
        >>> read_documents("reviews.csv", labels="required").labels  # doctest: +SKIP
        ['pos', 'neg']
    """
    if problem_type not in (None, *PROBLEM_TYPES):
        raise DataError(
            f"problem_type must be one of {name_all(PROBLEM_TYPES)}, not {problem_type!r}"
        )
    table, name = read_table(source)
    text_column, text_pair_column, label_column = choose_columns(
        table, name, text_column, text_pair_column, label_column, labels
    )
    texts = _read_texts(table, text_column, name)
    pairs = None if text_pair_column is None else _read_texts(table, text_pair_column, name)
    parsed, whole = None, False
    if label_column is not None:
        where = f"column {label_column!r} of {name}"
        cells = table.column(label_column).to_pylist()
        if labels == "optional" and all(map(is_missing, cells)):
            warn(f"{where} holds no label; the documents are treated as unlabelled")
            label_column = None
        else:
            parsed, whole = parse_labels(cells, where, problem_type), are_whole(cells)
    columns = text_column, text_pair_column, label_column
    return Documents(texts, parsed, pairs, table, name, *columns, whole)


def _read_texts(table: pa.Table, column: str, source: str) -> list[str]:
    where = f"column {column!r} of {source}"
    columns = f"its columns are {name_all(table.column_names)}"
    texts = check_texts(table.column(column).to_pylist(), where, advice=columns)
    empty = [row for row, text in enumerate(texts) if is_blank(text)]
    if len(empty) == len(texts):
        raise DataError(f"{where} is empty in every row; {columns}; choose another")
    if empty:
        warn(
            f"{where} has empty text in {name_rows(empty)} of {len(texts)}; they are kept",
            stacklevel=3,
        )
    return texts


def split_numbers(
    documents: Documents, fraction: float, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Return the numbers of training and of validation documents, ascending.

    Of single labels, each class gives its share, and one document at least; a class of one document
    stays in training, which is warned about. Other documents are one class.
    """
    groups: dict[str | None, list[int]] = {}
    for number, label in enumerate(documents.labels or [None] * len(documents)):
        groups.setdefault(label if isinstance(label, str) else None, []).append(number)
    rare = sorted(str(label) for label, group in groups.items() if len(group) == 1)
    if len(rare) == len(groups):
        raise DataError(
            f"{documents.source} has {len(documents)} documents, too few of a class to split off "
            "validation documents; check the label column, or give a validation file"
        )
    if rare:
        warn(
            f"{len(rare)} of {len(groups)} classes have one document only, which stays in "
            f"training: {name_all(rare, limit=5)}; validation does not measure them"
        )
    chance = np.random.default_rng(seed)
    held: list[int] = []
    for group in groups.values():
        count = min(max(round(len(group) * fraction), 1), len(group) - 1)
        held += chance.choice(group, count, replace=False).tolist()
    return sorted(set(range(len(documents))).difference(held)), sorted(held)
