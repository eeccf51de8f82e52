"""The way in: any source that tersely can read, by name, as documents.

This file finds out what the source is and turns its table into texts and labels; how each format
is read stands in the file of that format.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tersely.errors import DataError, TerselyWarning, close_match, name_all, name_rows
from tersely.text.columns import Columns, choose_columns
from tersely.text.documents import Documents, check_texts
from tersely.text.folders import read_folder, read_tables, read_text_files
from tersely.text.formats import TABLE_KINDS, decode_text, find_format, known_suffixes
from tersely.text.hub import looks_like_hub_name, read_hub
from tersely.text.jsonl import column_values
from tersely.text.labels import PROBLEM_TYPES
from tersely.text.targets import Labels, is_missing, parse_labels

__all__ = ["read_documents"]

_LABEL_MODES = ("required", "optional", "ignore")


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
    _check_choice("labels", labels, _LABEL_MODES)
    if problem_type is not None:
        _check_choice("problem_type", problem_type, PROBLEM_TYPES)
    table, name = _load(source, split)
    _check_table(table, name)
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
    parsed = _read_labels(table, columns, name, labels, problem_type, label_separator)
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


def _load(source: str | Path, split: str | None) -> tuple[pa.Table, str]:
    name = str(source)
    local = name == "-" or os.path.exists(name)
    if local and split is not None:
        raise DataError(
            f"a split ({split!r}) can be chosen of a Hub data set, and {name} is none; leave it out"
        )
    if name == "-":
        text = decode_text(sys.stdin.buffer.read(), "standard input")
        return pa.table({"text": [text] if text else pa.array([], pa.string())}), "standard input"
    if local:
        return _read_path(Path(name)), name
    if looks_like_hub_name(name):
        return read_hub(name, split), name
    raise DataError(f"there is no file or folder {name}{_similar_file(Path(name))}")


def _read_path(path: Path) -> pa.Table:
    if path.is_dir():
        return read_folder(path)
    kind = find_format(path).kind
    if kind == "text":
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; a document needs text")
        return read_text_files([path], path.parent)
    if kind not in TABLE_KINDS:
        raise DataError(
            f"the suffix of a data file must be one of {known_suffixes()}, and {path} has another"
        )
    return read_tables([path])


def _similar_file(path: Path) -> str:
    try:
        return close_match(path.name, os.listdir(path.parent)) or "; check the spelling"
    except OSError:
        return ", nor the folder it should be in; check the spelling"


def _check_table(table: pa.Table, source: str) -> None:
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DataError(
            f"columns must have names of their own, and {source} has several named "
            f"{name_all(twice)}; rename them"
        )
    if table.num_rows == 0:
        raise DataError(f"{source} is empty: it holds no document; at least one is needed")


def _read_texts(table: pa.Table, column: str, source: str) -> list[str]:
    where = f"column {column!r} of {source}"
    columns = f"its columns are {name_all(table.column_names)}"
    texts = check_texts(column_values(table, column), where, advice=columns)
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


def _read_labels(
    table: pa.Table,
    columns: Columns,
    source: str,
    mode: str,
    problem_type: str | None,
    separator: str | None,
) -> Labels | None:
    if columns.label is None:
        return None
    where = f"column {columns.label!r} of {source}"
    cells = column_values(table, columns.label)
    if mode == "optional" and all(is_missing(cell) for cell in cells):
        warnings.warn(
            f"{where} holds no label; the documents are taken as unlabelled",
            TerselyWarning,
            stacklevel=3,
        )
        return None
    return parse_labels(cells, where=where, problem_type=problem_type, separator=separator)
