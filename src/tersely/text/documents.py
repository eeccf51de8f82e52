"""The documents of one source: texts, labels where there are some, and the table they came from.

The whole input table travels along, so that predictions can be written next to every input column
in the input's order.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tersely.errors import DataError, TerselyWarning, name_all, name_rows, require
from tersely.text.columns import as_list, as_texts, check_lengths, check_texts, choose_columns
from tersely.text.labels import PROBLEM_TYPES, REGRESSION, Labels, is_missing, parse_labels
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
            check_lengths(columns)
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
    r"""Read documents from a file, a folder, standard input or the Hub, in its order.

    Args:
        source: a .csv, .tsv, .jsonl, .ndjson, .parquet or .txt file, also with .gz or .zst; a
            folder of class folders or of text files; `-` for standard input as one document; or a
            Hub data set as `name`, `owner/name:split` or `name:configuration:split`.
        text_column: the column of texts; guessed by default.
        text_pair_column: the column of second texts of text pairs.
        label_column: the column of labels; guessed by default.
        labels: `"required"` raises where there are none, `"optional"` reads them where there are,
            `"ignore"` leaves them alone.
        label_separator: splits a cell into several labels; by default cells are split, at `|`,
            only where the problem type is multi-label.
        problem_type: one of transformers' problem types; by default what the labels look like.
        split: the split of a Hub data set, where the source does not name it.

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
    if problem_type not in (None, *PROBLEM_TYPES):
        raise DataError(
            f"problem_type must be one of {name_all(PROBLEM_TYPES)}, not {problem_type!r}"
        )
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
        cells = table.column(columns.label).to_pylist()
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


def _read_texts(table: pa.Table, column: str, source: str) -> list[str]:
    where = f"column {column!r} of {source}"
    columns = f"its columns are {name_all(table.column_names)}"
    texts = check_texts(table.column(column).to_pylist(), where, advice=columns)
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


# ---- a validation split where none is given ------------------------------------------------------


def split_numbers(
    documents: Documents, *, fraction: float = 0.1, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Return the numbers of training and of validation documents, ascending.

    Single labels are stratified: each class has about its share in both parts. A class of one
    document stays in training, and validation grows to at least one document a class where it
    would be smaller; both are warned about. Other documents are shuffled and cut.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the validation fraction must be between 0 and 1, not {fraction}")
    labels = documents.labels
    candidates, strata, classes = list(range(len(documents))), None, 1
    if labels and isinstance(labels[0], str):
        counts = Counter(labels)
        rare = sorted(label for label, count in counts.items() if count == 1)
        if rare:
            warnings.warn(
                f"{len(rare)} of {len(counts)} classes have one document only, which stays in "
                f"training: {name_all(rare, limit=5)}; validation does not measure them",
                TerselyWarning,
                stacklevel=2,
            )
        candidates = [index for index in candidates if counts[labels[index]] > 1]
        strata = [labels[index] for index in candidates]
        classes = len(counts) - len(rare)
    if len(candidates) < 2:
        raise DataError(
            f"{documents.source} has {len(documents)} documents, too few of a class to split off "
            "validation documents; give a validation file or more documents"
        )
    wanted = max(round(len(candidates) * fraction), 1)
    # Every class has two documents or more here, so one a class fits on both sides.
    count = min(max(wanted, classes), len(candidates) - classes)
    if count != wanted:
        warnings.warn(
            f"validation holds {count} documents instead of {wanted}, so that both parts have "
            f"room for each of {classes} classes",
            TerselyWarning,
            stacklevel=2,
        )
    _, validation = require("sklearn.model_selection", "train").train_test_split(
        candidates, test_size=count, random_state=seed, stratify=strata
    )
    chosen = set(validation)
    training = [index for index in range(len(documents)) if index not in chosen]
    return training, sorted(validation)
