"""Texts out of an Arrow column, with a reason for each row that holds none.

A file is stopped by its worst row elsewhere; among millions of rows a few bad ones are normal, so
here they are set aside one by one.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from tersely.text.columns import holds_json_text

__all__ = ["read_cells"]


def read_cells(column: pa.Array, field: pa.Field) -> tuple[list[str | None], list[str | None]]:
    """Read texts; bytes are taken as UTF-8, as older writers of Parquet store text.

    Args:
        column: the cells.
        field: the column's name, type and metadata.

    Returns:
        For each row its text, None where there is none, and the reason why, None for a text.

    Example:
        >>> read_cells(pa.array(["fine", None, " "]), pa.field("text", pa.string()))
        (['fine', None, None], [None, 'null', 'empty text'])
    """
    if holds_json_text(field):
        cells = [None if cell is None else json.loads(cell) for cell in column.to_pylist()]
    else:
        cells = _values(column)
    texts: list[str | None] = []
    reasons: list[str | None] = []
    for cell in cells:
        text, reason = _judge(cell)
        texts.append(text)
        reasons.append(reason)
    return texts, reasons


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        # Parquet does not check what is declared to be text; as bytes it is judged row by row.
        large = pa.types.is_large_string(column.type)
        return column.cast(pa.large_binary() if large else pa.binary()).to_pylist()


def _judge(cell: Any) -> tuple[str | None, str | None]:
    if cell is None:
        return None, "null"
    if isinstance(cell, bytes):
        try:
            cell = cell.decode("utf-8")
        except UnicodeDecodeError as error:
            return None, f"not UTF-8 (byte {error.start})"
    if not isinstance(cell, str):
        return None, f"not a string ({type(cell).__name__})"
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return None, "half of a surrogate pair"
    return (cell, None) if cell.strip() else (None, "empty text")
