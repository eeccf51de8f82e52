"""The way out: predictions next to the input's columns, whole or not at all."""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tersely._io import written_whole
from tersely.errors import DataError, OutputError, TerselyWarning
from tersely.text.labels import LABEL_SEPARATOR
from tersely.text.tables import DELIMITERS, TABLE_KINDS, find_format, known_suffixes

_ROWS_AT_ONCE = 1024  # turned into Python values together when JSON is written


def check_output(path: str | Path, *, overwrite: bool) -> Path:
    """Make sure, before long work, that its result can be written; return the path.

    Raises:
        OutputError: if the suffix is unknown, the file exists and may not be replaced, or the
            directory is missing or cannot be written to.
    """
    path = Path(path)
    if find_format(path)[0] not in TABLE_KINDS:
        raise OutputError(
            f"the suffix of an output must be one of {known_suffixes(tables_only=True)}, and "
            f"{path} has another"
        )
    if os.path.isdir(path):
        raise OutputError(f"the output must be a file, and {path} is a directory; name a file")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"the output {path} exists; name another, or overwrite it")
    if not os.path.isdir(path.parent):
        raise OutputError(f"the output's directory {path.parent} does not exist; make it first")
    try:
        # Asking for permissions would miss read-only file systems; trying does not.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"the output's directory {path.parent} cannot be written to: {error}; choose another"
        ) from error
    return path


def write_table(
    path: str | Path,
    table: pa.Table,
    columns: Mapping[str, Sequence[Any]],
    *,
    overwrite: bool = False,
) -> Path:
    r"""Write a table with further columns, in the format of the path's suffix.

    CSV and TSV hold lists of strings joined by `|`, or as JSON where an item is empty or holds a
    `|` itself, and other nested cells as JSON; bytes are base64 in all but Parquet. JSON has null
    for what is no finite number.

    Args:
        path: a .csv, .tsv, .jsonl, .ndjson or .parquet file, also with .gz or .zst.
        table: the input's columns, kept in their order.
        columns: further columns by name, one value a row; one that the table has already gets
            `_predicted` added to its name, with a warning.
        overwrite: whether a file that exists may be replaced.

    Raises:
        OutputError: if the file cannot be written; an older file is then left as it was.
        DataError: if a further column has another length than the table.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pa.table({"text": ["good"]})
        ...     path = write_table(Path(folder, "out.jsonl"), table, {"label": ["pos"]})
        ...     path.read_text()
        '{"text": "good", "label": "pos"}\n'
    """
    path = check_output(path, overwrite=overwrite)
    table = _append_columns(table, columns)
    kind, compression = find_format(path)
    # Through a link, so that the link stays and the file it points to is replaced.
    target = path.resolve()
    try:
        with (
            written_whole(target.parent, "table") as folder,
            pa.output_stream(str(folder / target.name), compression=compression) as sink,
        ):
            if kind == "parquet":
                parquet.write_table(table, sink)
            elif kind == "jsonl":
                _write_json_lines(table, sink)
            else:
                options = arrow_csv.WriteOptions(delimiter=DELIMITERS[kind])
                arrow_csv.write_csv(_for_csv(table), sink, options)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise OutputError(
            f"{path} cannot hold this table: {error}; choose another format"
        ) from error
    return path


def _append_columns(table: pa.Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    renamed = []
    for name, values in columns.items():
        if len(values) != table.num_rows:
            raise DataError(
                f"column {name!r} must have a value for each of {table.num_rows} rows, and has "
                f"{len(values)}"
            )
        free = name
        while free in table.column_names:
            free += "_predicted"
        if free != name:
            renamed.append(f"{name!r} as {free!r}")
        if isinstance(values, np.ndarray) and values.ndim > 1:
            values = values.tolist()
        table = table.append_column(free, pa.array(values))
    if renamed:
        warnings.warn(
            f"{len(renamed)} new columns have names of input columns, and are written "
            f"{', '.join(renamed)}",
            TerselyWarning,
            stacklevel=3,
        )
    return table


def _for_csv(table: pa.Table) -> pa.Table:
    """Spell columns that Arrow's CSV does not know, and bytes, which it takes for text."""
    for position, field in enumerate(table.schema):
        try:
            arrow_csv.write_csv(table.select([position]).slice(0, 0), pa.BufferOutputStream())
            known = "binary" not in str(field.type)
        except pa.ArrowException:
            known = False
        if not known:
            cells = table.column(position).to_pylist()
            items = [item for cell in cells if isinstance(cell, list) for item in cell]
            if all(isinstance(i, str) and i.strip() and LABEL_SEPARATOR not in i for i in items):
                cells = [LABEL_SEPARATOR.join(c) if isinstance(c, list) else c for c in cells]
            texts = [
                _dump(cell) if isinstance(cell, dict | list) else cell and _spell(cell)
                for cell in cells
            ]
            table = table.set_column(position, field.name, pa.array(texts, pa.string()))
    return table


def _write_json_lines(table: pa.Table, sink: pa.NativeFile) -> None:
    for position, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            # By Arrow, because Python's own times stop at microseconds.
            texts = table.column(position).cast(pa.string())
            table = table.set_column(position, field.name, texts)
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            sink.write(_dump(row).encode("utf-8") + b"\n")


def _dump(value: Any) -> str:
    return json.dumps(without_nan(value), ensure_ascii=False, default=_spell)


def _spell(value: Any) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def without_nan(value: Any) -> Any:
    """Return the same nested data with null for what is no finite number, as JSON has none.

    Example:
        >>> without_nan({"a": [1.5, math.nan], "b": math.inf})
        {'a': [1.5, None], 'b': None}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
