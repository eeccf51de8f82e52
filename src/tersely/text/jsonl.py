"""JSON Lines: one object a line, kept so that any object can be written back as it was.

Arrow's columns have one type each, JSON's have not. A column of strings, of numbers, of booleans
or of flat lists of one of these becomes an ordinary column; any other is kept as JSON text, marked
in its field's metadata, and comes out of `column_values` as the values that went in.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tersely.errors import DataError
from tersely.text.formats import decode_text, read_bytes

__all__ = ["column_values", "holds_json_text", "read_records", "tabulate", "without_nan"]

_MARK = {b"tersely": b"json"}
_SCALARS = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON Lines file; blank lines are passed over.

    Raises:
        DataError: if a line is no JSON object, with its number, or the file is not UTF-8.
    """
    # Only a line feed ends a line here: str.splitlines would also cut at characters such as
    # U+2028 that JSON allows inside a string.
    lines = decode_text(read_bytes(path), str(path)).split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            records.append(_parse_line(line, f"line {number} of {path}"))
    return records


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where} must be a JSON object, and is broken at character {error.colno}: "
            f"{error.msg}; correct this line"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} must be a JSON object, and cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DataError(
            f'{where} must be a JSON object such as {{"text": ...}}, and is a '
            f"{type(record).__name__}; correct this line"
        )
    return record


def tabulate(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Lay objects out as a table: columns in the order of their first use, null where absent."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(records)))
    fields, arrays = [], []
    for name in names:
        field, array = _make_column(name, [record.get(name) for record in records])
        fields.append(field)
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields))


def _make_column(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    data_type = _find_type(values)
    if data_type is not None:
        try:
            return pa.field(name, data_type), pa.array(values, data_type)
        except (pa.ArrowException, OverflowError, ValueError):
            pass  # a number beyond 64 bits or a lone surrogate: JSON text holds both
    texts = [None if value is None else json.dumps(value) for value in values]
    return pa.field(name, pa.string(), metadata=_MARK), pa.array(texts, pa.string())


def _find_type(values: list[Any]) -> pa.DataType | None:
    present = [value for value in values if value is not None]
    if not present:
        return pa.null()
    lists = [value for value in present if isinstance(value, list)]
    if lists and len(lists) < len(present):
        return None
    leaves: Iterable[Any] = itertools.chain.from_iterable(lists) if lists else present
    kinds = {type(leaf) for leaf in leaves if leaf is not None}
    if kinds == {int, float}:
        kinds = {float}  # JSON has one type of number
    if len(kinds) > 1 or not kinds <= _SCALARS.keys():
        return None
    scalar = _SCALARS[kinds.pop()] if kinds else pa.string()
    return pa.list_(scalar) if lists else scalar


def holds_json_text(field: pa.Field) -> bool:
    """Say whether a column is kept as JSON text by `tabulate`."""
    return (field.metadata or {}).get(b"tersely") == b"json"


def column_values(table: pa.Table, name: str) -> list[Any]:
    """Return a column's cells as Python values, with JSON text read back."""
    values = table.column(name).to_pylist()
    if holds_json_text(table.schema.field(name)):
        return [None if value is None else json.loads(value) for value in values]
    return values


def without_nan(value: Any) -> Any:
    """The same nested data with null for what is no finite number, which JSON cannot write.

    Example:
        >>> without_nan({"a": [1.5, math.nan], "b": math.inf})
        {'a': [1.5, None], 'b': None}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
