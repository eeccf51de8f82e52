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
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import DataError, TerselyWarning, name_all
from tersely.text.columns import plain_types

__all__ = [
    "Input",
    "Shard",
    "cut_shards",
    "find_inputs",
    "read_chunks",
    "resolve_types",
]

# A chunk is what the model sees at once: enough documents to sort by length, within a limit for
# those that are very long.
_ROWS = 2048
_BYTES = 8 << 20
_ROWS_READ = 256
_SUFFIXES = (".parquet", ".pq")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Input:
    """A Parquet file.

    Attributes:
        path: where it is.
        name: its path below the folder that all inputs share.
        rows: how many it holds.
        bytes: its size.
        footer: SHA-256 of its footer, which holds the sizes and statistics of all its columns.
        types: the types of its columns, and of those that its folders hold.
        folders: what folders such as `year=2024` say, by column, where the file does not say it.
    """

    path: str
    name: str
    rows: int
    bytes: int
    footer: str
    types: Mapping[str, pa.DataType]
    folders: Mapping[str, str | None]


@dataclass(frozen=True)
class Shard:
    """Rows `first` to `first + rows` of an input, counted from 0; `number` over all inputs."""

    number: int
    input: Input
    first: int
    rows: int

    def __str__(self) -> str:
        return f"{self.input.name}, rows {self.first + 1:,} to {self.first + self.rows:,}"


# ---- which files -------------------------------------------------------------------------------


def find_inputs(patterns: Sequence[str], out: Path | None = None) -> list[Input]:
    """Find the files that paths, folders and patterns such as `in/*.parquet` name, by name.

    A folder stands for the files below it whose names end in `.parquet` or `.pq`, in any case of
    letters. Names that begin with a dot or an underscore are passed over, as other readers do; a
    warning names what is passed over and could have been meant.

    Args:
        patterns: paths, folders and patterns.
        out: the folder of results; it may lie in a folder of inputs, and is no part of that.

    Raises:
        DataError: if a pattern names nothing, or a file is not a whole Parquet file.
    """
    found: set[str] = set()
    passed: set[str] = set()
    for pattern in patterns:
        named = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        taken = set()
        for path in named:
            inside, others = _walk(path, out) if os.path.isdir(path) else ({path}, set())
            if path != pattern and _is_hidden(os.path.basename(path)):
                passed |= inside
            else:
                taken |= inside
                passed |= others
        if not taken:
            raise DataError(
                f"{pattern} names no Parquet file; give files, a folder that holds .parquet files, "
                "or a pattern in quotes, such as 'in/*.parquet'"
            )
        found |= {os.path.abspath(path) for path in taken}
    passed = {path for path in passed if os.path.abspath(path) not in found}
    if passed:
        warnings.warn(
            f"{len(passed):,} files are passed over, since their names do not end in .parquet or "
            f".pq, or begin with _ or a dot: {name_all(sorted(passed), limit=5)}",
            TerselyWarning,
            stacklevel=3,
        )
    ordered = sorted(found)
    shared = os.path.commonpath([os.path.dirname(path) for path in ordered])
    return [_look_at(path, Path(path).relative_to(shared).as_posix()) for path in ordered]


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _walk(folder: str, out: Path | None) -> tuple[set[str], set[str]]:
    """Return the Parquet files below a folder, and what is passed over and could be data.

    Hidden files without a suffix of Parquet, such as Spark's `_SUCCESS`, are nobody's data.
    """
    taken, passed = set(), set()
    if out is not None and Path(folder).absolute() not in out.absolute().parents:
        out = None
    for path in Path(folder).rglob("*"):
        if not path.is_file() or (out is not None and out.absolute() in path.absolute().parents):
            continue
        is_parquet = path.suffix.lower() in _SUFFIXES
        if any(map(_is_hidden, path.relative_to(folder).parts)):
            if is_parquet:
                passed.add(str(path))
        else:
            (taken if is_parquet else passed).add(str(path))
    return taken, passed


def _look_at(path: str, name: str) -> Input:
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            file.seek(max(0, size - 8))
            length = int.from_bytes(file.read(4), "little")
            file.seek(max(0, size - 8 - length))
            footer = hashlib.sha256(file.read()).hexdigest()
        metadata = parquet.read_metadata(path)
        schema = plain_types(metadata.schema.to_arrow_schema().empty_table()).schema
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is not a whole Parquet file: {error}; make it anew, or leave it out"
        ) from error
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise DataError(
            f"columns must have names of their own, and {path} has several named "
            f"{name_all(twice)}; rename them"
        )
    pairs = [part.split("=", 1) for part in Path(path).parent.parts if "=" in part]
    folders = {
        unquote(key): None if value == _NO_VALUE else unquote(value)
        for key, value in pairs
        if unquote(key) not in schema.names
    }
    # Dictionaries, like views, are another form of the same values in memory.
    types = {
        field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        for field in schema
    } | dict.fromkeys(folders, pa.string())
    return Input(path, name, metadata.num_rows, size, footer, types, folders)


# ---- which columns -----------------------------------------------------------------------------


def _check_columns(path: str, there: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in there]
    if missing:
        raise DataError(
            f"every input must have the columns {name_all(needed)}, and {path} has no "
            f"{name_all(missing)}"
        )


def resolve_types(
    files: Sequence[Input], texts: Sequence[str], kept: Sequence[str]
) -> dict[str, pa.DataType]:
    """Find the type that each column to be kept has in all parts, whichever file it comes from.

    A column that is null throughout has no type of its own in a file, and numbers may be of several
    widths; the parts of a run have to be readable as one table all the same.

    Args:
        files: the inputs.
        texts: the columns that are read.
        kept: the columns that are kept.

    Raises:
        DataError: if a file lacks a column, or the types of one go not together.
    """
    files = [file for file in files if file.rows]
    for file in files:
        _check_columns(file.path, [*file.types], [*texts, *kept])
    types = {}
    for name in kept:
        seen = {file.types[name]: file.path for file in files}
        try:
            schemas = [pa.schema([(name, kind)]) for kind in seen]
            types[name] = pa.unify_schemas(schemas, promote_options="permissive").field(name).type
        except pa.ArrowException as error:
            which = " and ".join(f"{kind} in {path}" for kind, path in seen.items())
            raise DataError(
                f"the column {name!r} must be of one type in all inputs, got {which}; write them "
                "anew with one, or keep other columns"
            ) from error
    return types


# ---- rows --------------------------------------------------------------------------------------


def cut_shards(inputs: Sequence[Input], rows: int) -> list[Shard]:
    """Cut every file into shards of at most so many rows.

    Example:
        >>> file = Input("in/a.parquet", "a.parquet", 5, 0, "", {"text": pa.string()}, {})
        >>> [(shard.number, shard.first, shard.rows) for shard in cut_shards([file], 2)]
        [(0, 0, 2), (1, 2, 2), (2, 4, 1)]
    """
    pieces = [
        (file, first, min(rows, file.rows - first))
        for file in inputs
        for first in range(0, file.rows, rows)
    ]
    return [Shard(number, *piece) for number, piece in enumerate(pieces)]


def read_chunks(
    shard: Shard, columns: Sequence[str], types: Mapping[str, pa.DataType]
) -> Iterator[pa.Table]:
    """Read some columns of a shard, a chunk at a time.

    Args:
        shard: the shard.
        columns: which columns.
        types: what some of them are cast to.

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
                yield _as_table(gathered, types)
                gathered = []
        if gathered:
            yield _as_table(gathered, types)
    if total != shard.rows:
        raise DataError(
            f"{shard.input.path} had {shard.input.rows:,} rows when the run began and has fewer "
            "now; do not change inputs while they are scored"
        )


def _as_table(batches: list[pa.RecordBatch], types: Mapping[str, pa.DataType]) -> pa.Table:
    table = pa.Table.from_batches(batches).replace_schema_metadata(None)
    for name, kind in types.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place).with_type(kind).with_nullable(True)
        table = table.set_column(place, field, table.column(place).cast(kind))
    return table


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Raise what pyarrow says of a file that is damaged as an error of the data."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; make it anew, or leave it out") from error


def _read_batches(shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    folders = {name: shard.input.folders[name] for name in columns if name in shard.input.folders}
    # Without buffering ahead, a row group is never in memory as a whole.
    with parquet.ParquetFile(shard.input.path, pre_buffer=False, buffer_size=1 << 20) as file:
        inside = [name for name in columns if name not in folders]
        _check_columns(shard.input.path, file.schema_arrow.names, inside)
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
            batch_size=_ROWS_READ, row_groups=groups, columns=inside, use_threads=False
        ):
            part = batch.slice(min(skip, batch.num_rows), left)
            skip = max(0, skip - batch.num_rows)
            left -= part.num_rows
            if part.num_rows:
                for name, value in folders.items():
                    cells = pa.repeat(pa.scalar(value, pa.string()), part.num_rows)
                    part = part.append_column(name, cells)
                yield part
            if not left:
                return
