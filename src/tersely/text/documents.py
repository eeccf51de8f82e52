"""The documents of one source: texts, labels where there are some, and the table they came from.

The whole input table travels along, so that predictions can be written next to every input
column in the input's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tersely.errors import DataError, name_rows
from tersely.text.labels import REGRESSION
from tersely.text.targets import Labels, kind_of, parse_labels, refuse_mixture

__all__ = ["Documents", "check_lists", "check_texts"]


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
    def from_lists(
        cls,
        texts: Sequence[str],
        labels: Sequence[Any] | None = None,
        pairs: Sequence[str] | None = None,
    ) -> Documents:
        """Make documents from values in memory.

        Args:
            texts: one string a document.
            labels: one entry a document: strings, whole numbers or booleans (a class each),
                lists of them (several), floats (regression); None for no labels.
            pairs: second texts of text pairs; None for single texts.

        Raises:
            DataError: if the lengths differ, a text is not a string, or a label does not fit.
        """
        texts, pairs = check_lists(list(texts), None if pairs is None else list(pairs))
        columns: dict[str, list[Any]] = {"text": texts}
        if pairs is not None:
            columns["text_pair"] = pairs
        if labels is not None:
            cells = list(labels)
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


def check_lists(texts: list[Any], pairs: list[Any] | None) -> tuple[list[str], list[str] | None]:
    """Return texts and second texts, or say what is wrong with them.

    Raises:
        DataError: as `check_texts`, or if there are not as many second texts as texts.
    """
    texts = check_texts(texts, "the list of texts")
    if pairs is not None:
        pairs = check_texts(pairs, "the list of second texts")
        _refuse_other_lengths({"text": texts, "text_pair": pairs})
    return texts, pairs


def _refuse_other_lengths(columns: Mapping[str, Sequence[Any]]) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{count} in {name}" for name, count in lengths.items())
        raise DataError(f"the lists must be equally long, and there are {found}")


def check_texts(cells: list[Any], where: str, *, advice: str = "give strings") -> list[str]:
    """Return the cells as texts, or say which of them is no text.

    Raises:
        DataError: if a cell is null, not a string, or cannot be written as UTF-8.
    """
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
        if not cell.isascii() and not _is_unicode(cell):
            raise DataError(
                f"{where} must hold whole characters, and row {row} holds half of a surrogate "
                "pair; correct it or leave this row out"
            )
    return cells


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
