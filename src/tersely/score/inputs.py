"""Parquet files as shards: runs of rows that are scored, written and finished as one.

A shard is small enough to be repeated after a kill, and is read in chunks, so that memory does not
grow with the files. Everything here depends on the files alone: the same shard is cut into the same
chunks in every run, and so gets the same figures to the last bit on the same machine.
"""

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import DataError, name_all, warn
from tersely.text.columns import plain_types

# A chunk is what the model sees at once: enough documents to sort by length, within a limit for
# those that are very long.
_ROWS = 2048
_BYTES = 8 << 20
_ROWS_READ = 256
_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Input:
    """A Parquet file."""

    path: str
    name: str  # its path below the folder that all inputs share
    rows: int
    footer: str  # the SHA-256 of its metadata, with the sizes and statistics of all columns
    types: Mapping[str, pa.DataType]


@dataclass(frozen=True)
class Shard:
    """Rows `first` to `first + rows` of an input, counted from 0; `number` over all inputs."""

    number: int
    input: Input
    first: int
    rows: int

    @property
    def part(self) -> str:
        """The name of the file of its results."""
        return f"part-{self.number:06d}.parquet"

    def __str__(self) -> str:
        return f"{self.input.name}, rows {self.first + 1:,} to {self.first + self.rows:,}"


def find_inputs(patterns: Sequence[str], out: Path | None = None) -> list[Input]:
    """Find the files that paths, folders and patterns such as `in/*.parquet` name, by name.

    A folder stands for the files below it whose names end in `.parquet` or `.pq`, in any case of
    letters, but those below `out`. Names that begin with a dot or an underscore are passed over, as
    other readers do; a warning names what is passed over and could have been meant.
    """
    found: set[str] = set()
    passed: set[str] = set()
    for pattern in patterns:
        exists = os.path.exists(pattern)
        taken = set()
        for path in map(Path, [pattern] if exists else glob.glob(pattern, recursive=True)):
            holds_out = out is not None and path.absolute() in out.absolute().parents
            for file in path.rglob("*") if path.is_dir() else [path]:
                # The results of a run are no inputs.
                if not file.is_file() or (holds_out and out.absolute() in file.absolute().parents):
                    continue
                # What is named itself is meant, whatever its name is.
                below = file.relative_to(path if exists else path.parent).parts
                is_hidden = any(part.startswith(("_", ".")) for part in below)
                is_parquet = file == path or file.suffix.lower() in _SUFFIXES
                if is_parquet and not is_hidden:
                    taken.add(os.path.abspath(file))
                elif is_parquet or not is_hidden:  # and not such as Spark's `_SUCCESS`
                    passed.add(os.path.abspath(file))
        if not taken:
            raise DataError(
                f"{pattern} matches no Parquet file; give files, a folder of .parquet files, "
                "or a pattern in quotes, such as 'in/*.parquet'"
            )
        found |= taken
    if passed := passed - found:
        warn(
            f"{len(passed):,} files are skipped, since their names do not end in .parquet or "
            f".pq, or begin with _ or a dot: {name_all(sorted(passed), limit=5)}",
            stacklevel=3,
        )
    ordered = sorted(found)
    shared = os.path.commonpath([os.path.dirname(path) for path in ordered])
    return [_look_at(path, Path(path).relative_to(shared).as_posix()) for path in ordered]


def _look_at(path: str, name: str) -> Input:
    footer = pa.BufferOutputStream()
    try:
        metadata = parquet.read_metadata(path)
        metadata.write_metadata_file(footer)
        schema = plain_types(metadata.schema.to_arrow_schema().empty_table()).schema
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is not a complete Parquet file: {error}; write it again, or leave it out"
        ) from error
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise DataError(
            f"column names must be unique, but {path} has several named "
            f"{name_all(twice)}; rename them"
        )
    # Dictionaries, like views, are another form of the same values in memory.
    is_dictionary = pa.types.is_dictionary
    types = {f.name: f.type.value_type if is_dictionary(f.type) else f.type for f in schema}
    digest = hashlib.sha256(footer.getvalue()).hexdigest()
    return Input(path, name, metadata.num_rows, digest, types)


def _check_columns(path: str, there: Sequence[str], needed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in there]:
        raise DataError(
            f"every input must have the columns {name_all(needed)}, and {path} has no "
            f"{name_all(missing)}"
        )


def resolve_types(
    files: Sequence[Input], texts: Sequence[str], kept: Sequence[str]
) -> dict[str, pa.DataType]:
    """Find the type of each column to be kept, which all parts share, whatever file they are of.

    A column that is null throughout has no type of its own, and numbers may be of several widths.
    """
    schemas = []
    for file in files:
        if file.rows:
            _check_columns(file.path, [*file.types], [*texts, *kept])
            schemas.append(pa.schema([(name, file.types[name]) for name in kept]))
    try:
        unified = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"the columns {name_all(kept)} must be of one type each in all inputs: {error}; write "
            "them anew with one, or keep other columns"
        ) from error
    return dict(zip(unified.names, unified.types, strict=True))


def cut_shards(inputs: Sequence[Input], rows: int) -> list[Shard]:
    """Cut every file into shards of at most so many rows."""
    places = ((file, first) for file in inputs for first in range(0, file.rows, rows))
    return [
        Shard(number, file, first, min(rows, file.rows - first))
        for number, (file, first) in enumerate(places)
    ]


def read_chunks(
    shard: Shard, columns: Sequence[str], types: Mapping[str, pa.DataType]
) -> Iterator[pa.Table]:
    """Read some columns of a shard, a chunk at a time, cast to the types that are given."""
    path, gathered, total = shard.input.path, [], 0
    try:
        for batch in _read_batches(shard, columns):
            total += batch.num_rows
            gathered.append(batch)
            table = pa.Table.from_batches(gathered)
            if table.num_rows >= _ROWS or table.nbytes >= _BYTES or total == shard.rows:
                kinds = [(field.name, types.get(field.name, field.type)) for field in table.schema]
                yield table.cast(pa.schema(kinds))
                gathered = []
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; make it anew, or leave it out") from error
    if total != shard.rows:
        raise DataError(
            f"{path} had {shard.input.rows:,} rows when the run began and has fewer now; do not "
            "change inputs while they are scored"
        )


def _read_batches(shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    end = shard.first + shard.rows
    # Without buffering ahead, a row group is never in memory as a whole.
    with parquet.ParquetFile(shard.input.path, pre_buffer=False, buffer_size=1 << 20) as file:
        _check_columns(shard.input.path, file.schema_arrow.names, columns)
        starts, start = {}, 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start < end and start + rows > shard.first:
                starts[group] = start
            start += rows
        place = min(starts.values(), default=end)
        for batch in file.iter_batches(
            batch_size=_ROWS_READ, row_groups=[*starts], columns=[*columns], use_threads=False
        ):
            skip = max(0, shard.first - place)
            part = batch.slice(min(skip, batch.num_rows), end - max(place, shard.first))
            place += batch.num_rows
            if part.num_rows:
                yield part
            if place >= end:
                return
