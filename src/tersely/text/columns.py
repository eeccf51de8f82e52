"""What columns hold, of a table or in memory, and which of them hold the texts and the labels.

A guess is never made between two equally good columns: the error names them instead.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tersely.errors import DataError, close_match, name_all, name_rows
from tersely.text.labels import as_number

_TEXTS = (
    "text sentence document content body review message comment tweet post article utterance "
    "abstract description summary headline title question query input"
).split()
_FIRSTS = "text sentence1 premise question1 text1 text_a".split()
_SECONDS = "text_pair sentence2 hypothesis question2 text2 text_b".split()
_LABELS = "label labels class category target topic sentiment emotion intent tags".split()
_LOOKED_AT = 100  # cells that decide whether a column of strings holds only numbers


def choose_columns(
    table: pa.Table,
    source: str,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: str = "optional",
) -> tuple[str, str | None, str | None]:
    """Take the columns that were named and guess the others: of texts, second texts, and labels.

    `source` is what to call the table in messages; the other arguments are those of
    `tersely.text.read_documents`. Second texts are guessed only where no text column is given and
    both names are a known couple such as premise and hypothesis.
    """
    known = table.column_names
    given = [name for name in (text_column, text_pair_column, label_column) if name is not None]
    for name in given:
        # Where labels are ignored, a label column that is missing is of no concern.
        if name not in known and not (labels == "ignore" and name == label_column):
            raise DataError(
                f"there is no column {name!r} in {source}, whose columns are "
                f"{name_all(known)}{close_match(name, known)}"
            )
    if len(set(given)) < len(given):
        raise DataError(f"the columns in use must differ, and {name_all(given)} were given")
    free = [name for name in known if name not in given]
    if label_column is None:
        label_column = _find(free, _LABELS)
        free = [name for name in free if name != label_column]
    if text_column is None and text_pair_column is None:
        pairs = zip(_FIRSTS, _SECONDS, strict=True)
        couples = ((_find(free, [first]), _find(free, [second])) for first, second in pairs)
        found = (couple for couple in couples if None not in couple)
        text_column, text_pair_column = next(found, (None, None))
    if text_column is None:
        text_column = _guess_text(table, free, source)
    if labels == "required" and label_column is None:
        raise DataError(
            f"labels are needed, but no column name of {source} suggests them; its columns are "
            f"{name_all(known)}; choose one with label_column"
        )
    return text_column, text_pair_column, None if labels == "ignore" else label_column


def _find(free: Sequence[str], names: Sequence[str]) -> str | None:
    spelled = {name.lower(): name for name in reversed(free)}
    return next((spelled[name] for name in names if name in spelled), None)


def _guess_text(table: pa.Table, free: Sequence[str], source: str) -> str:
    cells = {name: table[name][:_LOOKED_AT].to_pylist() for name in free}
    strings = [name for name in free if any(isinstance(cell, str) for cell in cells[name])]

    # Every cell of a CSV file is a string, so identifiers and counts have to be told by looking.
    def is_word(cell: Any) -> bool:
        return isinstance(cell, str) and cell != "" and as_number(cell) is None

    words = [name for name in strings if any(map(is_word, cells[name]))]
    only = words[0] if len(words) == 1 else None
    # Last of all a well-named column of another type, so that the error can be about its values.
    guess = _find(strings, _TEXTS) or only or _find(free, _TEXTS)
    if guess is None and len(free) != 1:
        raise DataError(
            f"the text column of {source} cannot be detected among "
            f"{name_all(table.column_names)}; choose it with text_column"
        )
    return guess or free[0]


def plain_types(table: pa.Table) -> pa.Table:
    """Turn text that Arrow's functions know little of, the views that polars writes, into plain.

    Everything else stays as it is, so that it is written as it was read.
    """
    for position, field in enumerate(table.schema):
        plain = _plain_type(field.type)
        if plain != field.type:
            # Not by a cast, which dictionaries of views have none for.
            array = pa.array(table.column(position).to_pylist(), plain)
            table = table.set_column(position, field.with_type(plain), array)
    return table


def _plain_type(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(data_type):
        return pa.large_string()  # which has no limit of 2 GiB either
    if pa.types.is_binary_view(data_type):
        return pa.large_binary()
    inner = getattr(data_type, "value_type", None)  # of lists and dictionaries
    if inner is None or (plain := _plain_type(inner)) == inner:
        return data_type
    return plain if pa.types.is_dictionary(data_type) else pa.large_list(plain)


def named_classes(table: pa.Table, source: str) -> pa.Table:
    """Turn class numbers into the class names that `datasets` keeps in a table's metadata.

    Data sets without public labels hold -1 in place of the class, which becomes null.
    """
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    features = json.loads(metadata).get("info", {}).get("features", {}) if metadata else {}
    for position, name in enumerate(table.column_names):
        feature = features.get(name, {})
        # A list of classes is {"feature": class}, in older versions [class].
        item = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        if item.get("_type") != "ClassLabel":
            continue
        names = {None: None, -1: None} | dict(enumerate(item["names"]))
        named = (
            [names[number] for number in cell] if isinstance(cell, list) else names[cell]
            for cell in table.column(name).to_pylist()
        )
        try:
            cells = pa.array(list(named))
        except KeyError as error:
            raise DataError(
                f"column {name!r} of {source} must hold numbers of its {len(names) - 2} classes, "
                f"and holds {error}; correct the column or the names in the table's metadata"
            ) from error
        table = table.set_column(position, name, cells)
    return table


def as_texts(texts: Any, pairs: Any = None) -> tuple[list[str], list[str] | None]:
    """Return texts and second texts as lists, whatever columns they came in."""
    texts = check_texts(as_list(texts), "the list of texts")
    if pairs is not None:
        pairs = check_texts(as_list(pairs, "the second texts"), "the list of second texts")
        check_lengths(texts, pairs, "second texts")
    return texts, pairs


def as_list(column: Any, what: str = "the texts") -> list[Any]:
    """Return the values of a column: of a list, an array, a series, an Arrow column, a generator.

    No library is imported for it: every one of them can say its own values as a list. A table of
    one column, as scikit-learn's pipelines pass them on, is that column.
    """
    shape = getattr(column, "shape", (0,))
    if len(shape) == 2 and shape[1] == 1:
        column = np.asarray(column)[:, 0]
    elif len(shape) != 1:
        raise DataError(
            f"{what} must be a single column, got shape {tuple(shape)}; choose the column"
        )
    if isinstance(column, str | bytes | dict) or not isinstance(column, Iterable):
        raise DataError(
            f"{what} must be one for each document, in a list, an array or a column, got a single "
            f"{type(column).__name__}; put them into a list"
        )
    # Arrow, polars, numpy and pandas, in this order: pandas' `tolist` makes Python's own values.
    for name in ("to_pylist", "to_list", "tolist"):
        if callable(method := getattr(column, name, None)):
            return list(method())
    return list(column)


def check_texts(cells: list[Any], where: str, *, advice: str = "give strings") -> list[str]:
    """Return the cells, all of which must be strings that UTF-8 can hold."""
    odd = [row for row, cell in enumerate(cells) if not _is_text(cell)]
    if odd:
        raise DataError(
            f"{where} must hold text in every row, of whole characters, and holds "
            f"{cells[odd[0]]!r:.40} in {name_rows(odd)}; {advice}"
        )
    return cells


def _is_text(cell: Any) -> bool:
    try:
        return isinstance(cell, str) and cell.encode("utf-8") is not None
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def check_lengths(texts: list[str], others: list[Any], what: str) -> None:
    """Refuse lists of different lengths."""
    if len(others) != len(texts):
        raise DataError(
            f"the lists must be equally long, got {len(texts)} texts and {len(others)} {what}"
        )
