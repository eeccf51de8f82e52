"""Which column holds the texts and which the labels, where the caller did not say.

A guess is never made between two equally good columns: the error names them instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from tersely.errors import DataError, close_match, name_all
from tersely.text.jsonl import holds_json_text
from tersely.text.labels import REGRESSION, as_number

__all__ = ["Columns", "choose_columns"]

_TEXTS = (
    "text sentence document content body review message comment tweet post article utterance "
    "abstract description summary headline title question query input"
).split()
_PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
_LABELS = "label labels class category target topic sentiment emotion intent tags".split()
_SCORES = "score rating stars value".split()
_LOOKED_AT = 100  # cells that decide whether a column of strings holds only numbers


@dataclass(frozen=True)
class Columns:
    """The columns in use; None where there is none."""

    text: str
    pair: str | None
    label: str | None


def choose_columns(
    table: pa.Table,
    source: str,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: str = "optional",
    problem_type: str | None = None,
) -> Columns:
    """Take the columns that were named and guess the others.

    Args:
        table: the input.
        source: what to call it in messages.
        text_column: the column of texts; by default guessed by its name, or because it is the
            only column of words.
        text_pair_column: the column of second texts; guessed only where `text_column` is not
            given and both names are a known couple such as premise and hypothesis.
        label_column: the column of labels; by default guessed by its name.
        labels: `"required"` raises where there is no label column, `"ignore"` uses none.
        problem_type: regression also looks for names such as score and rating.

    Raises:
        DataError: if a named column does not exist, or a needed one cannot be guessed.
    """
    given = [name for name in (text_column, text_pair_column, label_column) if name is not None]
    for name in given:
        # Where labels are ignored, a label column that is missing is of no concern.
        if not (labels == "ignore" and name == label_column):
            _require_column(name, table.column_names, source)
    if len(set(given)) < len(given):
        raise DataError(f"the columns in use must differ, and {name_all(given)} were given")
    free = [name for name in table.column_names if name not in given]
    if label_column is None:
        names = _LABELS + _SCORES if problem_type == REGRESSION else _LABELS
        label_column = _find(free, names)
        free = [name for name in free if name != label_column]
    if text_column is None and text_pair_column is None:
        text_column, text_pair_column = _find_couple(free)
    if text_column is None:
        text_column = _guess_text(table, free, source)
    if labels == "required" and label_column is None:
        raise DataError(
            f"labels are needed, and no column of {source} is named like labels; its columns are "
            f"{name_all(table.column_names)}; name one with --label-column (label_column=)"
        )
    return Columns(text_column, text_pair_column, None if labels == "ignore" else label_column)


def _require_column(name: str, known: Sequence[str], source: str) -> None:
    if name not in known:
        raise DataError(
            f"there is no column {name!r} in {source}, whose columns are "
            f"{name_all(known)}{close_match(name, known)}"
        )


def _find(free: Sequence[str], names: Sequence[str]) -> str | None:
    spelled = {name.lower(): name for name in reversed(free)}
    return next((spelled[name] for name in names if name in spelled), None)


def _find_couple(free: Sequence[str]) -> tuple[str | None, str | None]:
    for names in _PAIRS:
        first, second = (_find(free, [name]) for name in names)
        if first is not None and second is not None:
            return first, second
    return None, None


def _guess_text(table: pa.Table, free: Sequence[str], source: str) -> str:
    words = [name for name in free if _holds_words(table, name)]
    strings = [name for name in free if _holds_strings(table.schema.field(name))]
    only = words[0] if len(words) == 1 else None
    # Last of all a well-named column of another type, so that the error can be about its values.
    guess = _find(strings, _TEXTS) or only or _find(free, _TEXTS)
    if guess is None and len(free) == 1:
        guess = free[0]
    if guess is None:
        raise DataError(
            f"the column of texts in {source} cannot be guessed among "
            f"{name_all(table.column_names)}; name it with --text-column (text_column=)"
        )
    return guess


def _holds_strings(field: pa.Field) -> bool:
    data_type = field.type
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    is_string = pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
    return is_string and not holds_json_text(field)


def _holds_words(table: pa.Table, name: str) -> bool:
    # Every cell of a CSV file is a string, so identifiers and counts have to be told by looking.
    if not _holds_strings(table.schema.field(name)):
        return False
    cells = [cell for cell in table.column(name)[:_LOOKED_AT].to_pylist() if cell]
    return any(as_number(cell) is None for cell in cells)
