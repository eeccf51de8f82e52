"""The way out: predictions next to the input's columns, whole or not at all."""

import base64
import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely._io import check_writable, written_whole
from tersely.errors import OutputError, name_all, warn
from tersely.text.labels import LABEL_SEPARATOR
from tersely.text.tables import DELIMITERS, find_kind

_ROWS_AT_ONCE = 1024  # turned into Python values together


def check_output(path: str | Path, *, overwrite: bool) -> Path:
    """Make sure, before long work, that its result can be written; return the path."""
    path = Path(path)
    if find_kind(path) in (None, "text"):
        raise OutputError(
            "an output must end in one of .csv, .tsv, .jsonl, .ndjson, .parquet, with or without "
            f".gz or .zst, got {path}"
        )
    if os.path.isdir(path):
        raise OutputError(f"the output must be a file, but {path} is a directory; name a file")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"the output {path} exists; name another, or overwrite it")
    check_writable(path.parent, path)
    return path


def write_table(
    path: str | Path,
    table: pa.Table,
    columns: Mapping[str, Sequence[Any]],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a table with further columns, in the format of the path's suffix; return the path.

    CSV and TSV hold lists of strings joined by `|`, or as JSON where an item is empty or holds a
    `|` itself, and other nested cells as JSON; bytes are base64 in all but Parquet. JSON has null
    for what is no finite number. `columns` are values by name, one a row; a name that the table has
    already gets `_predicted` added, with a warning. What fails leaves an older file as it was.
    """
    path = check_output(path, overwrite=overwrite)
    table = _append_columns(table, columns)
    kind = find_kind(path)
    # Through a link, so that the link stays and the file it points to is replaced.
    target = path.resolve()
    try:
        with (
            written_whole(target.parent, "table") as folder,
            pa.output_stream(str(folder / target.name)) as sink,
        ):
            if kind == "parquet":
                parquet.write_table(table, sink)
            else:
                _write_lines(table, sink, DELIMITERS.get(kind))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise OutputError(
            f"{path} cannot hold this table: {error}; choose another format"
        ) from error
    return path


def _append_columns(table: pa.Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    renamed = {}
    for name, values in columns.items():
        free = name
        while free in table.column_names:
            free += "_predicted"
        if free != name:
            renamed[name] = free
        table = table.append_column(free, pa.array(list(values)))
    if renamed:
        warn(
            f"the input already has columns named {name_all(renamed)}; predictions are written to "
            f"{name_all(renamed.values())}",
            stacklevel=3,
        )
    return table


def _write_lines(table: pa.Table, sink: pa.NativeFile, delimiter: str | None) -> None:
    """Write a line a row, separated by the delimiter under a header, or as JSON without one."""
    for position, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            # By Arrow, because Python's own times stop at microseconds.
            texts = table.column(position).cast(pa.string())
            table = table.set_column(position, field.name, texts)
    batches = table.to_batches(max_chunksize=_ROWS_AT_ONCE)
    rows = (row for part in batches for row in part.to_pylist())
    if delimiter is None:
        for row in rows:
            sink.write(_dump(row).encode("utf-8") + b"\n")
        return
    text = io.TextIOWrapper(sink, "utf-8", newline="")
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    writer.writerow(table.column_names)
    writer.writerows(map(_spell, row.values()) for row in rows)
    text.detach()


def _dump(value: Any) -> str:
    return json.dumps(without_nan(value), ensure_ascii=False, default=_spell)


def _spell(value: Any) -> Any:
    """Return a value as a cell of a CSV file holds it; JSON asks for those it does not know."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list) and all(
        isinstance(item, str) and item.strip() and LABEL_SEPARATOR not in item for item in value
    ):
        return LABEL_SEPARATOR.join(value)
    if isinstance(value, dict | list):
        return _dump(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def without_nan(value: Any) -> Any:
    """Return the same nested data with null for what is no finite number, as JSON has none."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
