"""Parquet files as shards: runs of rows that are scored, written and finished as one.

A shard is small enough to be repeated after a kill, and is read in chunks, so that memory does not
grow with the files. Everything here depends on the files alone: the same shard is cut into the same
chunks in every run, and so gets the same figures to the last bit on the same machine.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import DataError, name_all

__all__ = [
    "Input",
    "Shard",
    "check_columns",
    "cut_shards",
    "find_inputs",
    "read_beginning",
    "read_chunks",
]

# A chunk is what the model sees at once: enough documents to sort by length, within a limit for
# those that are very long.
_ROWS = 2048
_BYTES = 8 << 20
_ROWS_READ = 256


@dataclass(frozen=True)
class Input:
    """A Parquet file.

    Attributes:
        path: where it is.
        name: its path below the folder that all inputs share.
        rows: how many it holds.
        bytes: its size.
        footer: SHA-256 of its footer, which holds the sizes and statistics of all its columns.
        columns: their names.
    """

    path: str
    name: str
    rows: int
    bytes: int
    footer: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """Rows `first` to `first + rows` of an input, counted from 0; `number` over all inputs."""

    number: int
    input: Input
    first: int
    rows: int


def find_inputs(patterns: Sequence[str]) -> list[Input]:
    """Find the files that paths, folders and patterns such as `in/*.parquet` name, by name.

    Names that begin with a dot or an underscore are passed over, as other readers do. A folder
    among what is found stands for its files, as Spark writes folders such as `b.parquet`.

    Raises:
        DataError: if a pattern names nothing, a folder `*.parquet` holds no such file, or a file is
            not a whole Parquet file.
    """
    paths: set[str] = set()
    for pattern in patterns:
        found = [pattern] if os.path.isfile(pattern) else _expand(pattern)
        if not found:
            raise DataError(
                f"{pattern} names no Parquet file; give files, a folder that holds .parquet files, "
                "or a pattern in quotes, such as 'in/*.parquet'"
            )
        paths.update(os.path.abspath(path) for path in found)
    ordered = sorted(paths)
    shared = os.path.commonpath([os.path.dirname(path) for path in ordered])
    return [_look_at(path, Path(path).relative_to(shared).as_posix()) for path in ordered]


def _expand(pattern: str) -> list[str]:
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "*.parquet")
    found: list[str] = []
    for path in glob.glob(pattern, recursive=True):
        if os.path.basename(path).startswith(("_", ".")):
            continue
        inside = _expand(path) if os.path.isdir(path) else [path]
        if not inside and path.endswith(".parquet"):
            raise DataError(
                f"{path} is a folder without .parquet files of its own, and its rows would be left "
                "out; name the files below it with a pattern, or move it away"
            )
        found += inside
    return found


def _look_at(path: str, name: str) -> Input:
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            file.seek(max(0, size - 8))
            length = int.from_bytes(file.read(4), "little")
            file.seek(max(0, size - 8 - length))
            footer = hashlib.sha256(file.read()).hexdigest()
        metadata = parquet.read_metadata(path)
        columns = tuple(metadata.schema.to_arrow_schema().names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is not a whole Parquet file: {error}; make it anew, or leave it out"
        ) from error
    return Input(path, name, metadata.num_rows, size, footer, columns)


def check_columns(path: str, there: Sequence[str], needed: Sequence[str]) -> None:
    """Make sure that a file has the columns that are read.

    Raises:
        DataError: if it lacks one.
    """
    missing = [name for name in needed if name not in there]
    if missing:
        raise DataError(
            f"every input must have the columns {name_all(needed)}, and {path} has no "
            f"{name_all(missing)}"
        )


def read_beginning(file: Input, rows: int) -> pa.Table:
    """The first rows of a file, at most so many.

    Raises:
        DataError: if they cannot be read.
    """
    with _readable(file.path), parquet.ParquetFile(file.path) as source:
        batch = next(source.iter_batches(batch_size=rows, use_threads=False))
        return pa.Table.from_batches([batch], source.schema_arrow)


def cut_shards(inputs: Sequence[Input], rows: int) -> list[Shard]:
    """Cut every file into shards of at most so many rows.

    Example:
        >>> file = Input("in/a.parquet", "a.parquet", rows=5, bytes=0, footer="", columns=("text",))
        >>> [(shard.number, shard.first, shard.rows) for shard in cut_shards([file], 2)]
        [(0, 0, 2), (1, 2, 2), (2, 4, 1)]
    """
    pieces = [
        (file, first, min(rows, file.rows - first))
        for file in inputs
        for first in range(0, file.rows, rows)
    ]
    return [Shard(number, *piece) for number, piece in enumerate(pieces)]


def read_chunks(shard: Shard, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some columns of a shard, a chunk at a time.

    Raises:
        DataError: if a column is not there, or the file cannot be read or has fewer rows now.
    """
    gathered: list[pa.RecordBatch] = []
    total = 0
    with _readable(shard.input.path):
        for batch in _read_batches(shard, columns):
            total += batch.num_rows
            gathered.append(batch)
            rows = sum(part.num_rows for part in gathered)
            if rows >= _ROWS or sum(part.nbytes for part in gathered) >= _BYTES:
                yield pa.Table.from_batches(gathered)
                gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered)
    if total != shard.rows:
        raise DataError(
            f"{shard.input.path} had {shard.input.rows:,} rows when the run began and has fewer "
            "now; do not change inputs while they are scored"
        )


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """What pyarrow says of a file that is damaged, as an error of the data."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; make it anew, or leave it out") from error


def _read_batches(shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    # Without buffering ahead, a row group is never in memory as a whole.
    with parquet.ParquetFile(shard.input.path, pre_buffer=False, buffer_size=1 << 20) as file:
        check_columns(shard.input.path, file.schema_arrow.names, columns)
        groups, place = [], 0
        skip = shard.first
        for number in range(file.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            if place + rows > shard.first and place < shard.first + shard.rows:
                skip = shard.first - place if not groups else skip
                groups.append(number)
            place += rows
        left = shard.rows
        for batch in file.iter_batches(
            batch_size=_ROWS_READ, row_groups=groups, columns=list(columns), use_threads=False
        ):
            part = batch.slice(min(skip, batch.num_rows), left)
            skip = max(0, skip - batch.num_rows)
            left -= part.num_rows
            if part.num_rows:
                yield part
            if not left:
                return
