"""Any source as one Arrow table: files, folders, standard input and data sets of the Hub.

pyarrow and `datasets` read the formats. What stands here chooses the format by name, refuses what
these libraries misread in silence, such as a quote that is never closed, and words the errors.

CSV cells are all read as text: a label "01" stays "01", and "NA" is a word like any other.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tersely.errors import (
    DataError,
    MissingExtraError,
    TerselyWarning,
    close_match,
    name_all,
    require,
)
from tersely.text.columns import JSON_TEXT, named_classes, plain_types

_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
TABLE_KINDS = ("csv", "tsv", "jsonl", "parquet")
DELIMITERS = {"csv": ",", "tsv": "\t"}

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "unsup"}
# How files that are no text begin, for those that were given a name of text.
_SIGNATURES = {
    b"\x1f\x8b": "gzip data; give it the suffix .gz",
    b"\x28\xb5\x2f\xfd": "zstd data; give it the suffix .zst",
    b"PK\x03\x04": "a workbook or another zip archive; export it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "a workbook of old Excel; export it as CSV",
    b"BZh": "bzip2 data; unpack it",
    b"\xfd7zXZ\x00": "xz data; unpack it",
    b"PAR1": "a Parquet file; give it the suffix .parquet",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"SQLite format 3\x00": "a database of SQLite; export the table as CSV",
    b"%PDF-": "a PDF; extract its text",
}
# `name` or `owner/name`, then optionally `:split` or `:configuration:split`. A dot is allowed
# only before a digit, as in a version, so that a mistyped file name is not asked of the Hub.
_HUB_NAME = re.compile(r"[\w-]+(/[\w-]+(\.\d[\w-]*)*)?(:[\w.-]+){0,2}")
_WRONG_LENGTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_LARGEST_BLOCK = 2**30


class FileFormat(NamedTuple):
    """A file's format by its name: `kind` is None where the suffix is not one tersely knows."""

    kind: str | None
    compression: str | None


def find_format(path: Path) -> FileFormat:
    """Read the format off a file's suffixes, in any case of letters.

    Example:
        >>> find_format(Path("reviews.CSV.gz"))
        FileFormat(kind='csv', compression='gzip')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes.pop()
    return FileFormat(_KINDS.get(suffixes[-1]) if suffixes else None, compression)


def known_suffixes(*, tables_only: bool = False) -> str:
    """Spell the suffixes tersely knows, for messages."""
    kinds = [suffix for suffix, kind in _KINDS.items() if not tables_only or kind in TABLE_KINDS]
    return f"{', '.join(kinds)}, each also with {' or '.join(_COMPRESSIONS)}"


def read_table(source: str | Path, split: str | None = None) -> tuple[pa.Table, str]:
    """Read a source, whatever it is; see `tersely.text.read_documents`.

    Returns:
        The table, with a row at least and columns of different names, and what to call the source
        in messages.

    Raises:
        DataError: if there is no such source, or it cannot be read.
        MissingExtraError: if a Hub data set is asked for and `datasets` is not installed.
    """
    name = str(source)
    local = name == "-" or os.path.exists(name)
    if local and split is not None:
        raise DataError(
            f"a split ({split!r}) can be chosen of a Hub data set, and {name} is none; leave it out"
        )
    if name == "-":
        name = "standard input"
        text = _decode(sys.stdin.buffer.read(), name)
        table = pa.table({"text": pa.array([text] if text else [], pa.string())})
    elif local:
        table = _read_path(Path(name))
    elif _HUB_NAME.fullmatch(name):
        table = _read_hub(name, split)
    else:
        raise DataError(f"there is no file or folder {name}{_similar_file(Path(name))}")
    twice = [column for column, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DataError(
            f"columns must have names of their own, and {name} has several named "
            f"{name_all(twice)}; rename them"
        )
    if table.num_rows == 0:
        raise DataError(f"{name} is empty: it holds no document; at least one is needed")
    return plain_types(named_classes(table, name)), name


def _similar_file(path: Path) -> str:
    try:
        return close_match(path.name, os.listdir(path.parent)) or "; check the spelling"
    except OSError:
        return ", nor the folder it should be in; check the spelling"


def _read_path(path: Path) -> pa.Table:
    if path.is_dir():
        return _read_folder(path)
    kind = find_format(path).kind
    if kind is None:
        raise DataError(
            f"the suffix of a data file must be one of {known_suffixes()}, and {path} has another"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: it holds no document; at least one is needed")
    return _read_texts([path], path.parent) if kind == "text" else _read_files([path])


# ---- folders -------------------------------------------------------------------------------------


def _read_folder(folder: Path) -> pa.Table:
    """Read class folders, loose text files, or data files of one kind; hidden ones never.

    Class folders give the columns `path` (relative to the folder), `text` and `label`, text files
    `path` and `text`, data files their own, one file after the other in the order of their names.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error}; check it") from error
    classes = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    if classes:
        _warn_ignored(folder, len(files), "lie beside the class folders")
        return _read_classes(folder, [entry.name for entry in classes])
    data = [entry for entry in files if find_format(entry).kind is not None]
    kinds = sorted({str(find_format(entry).kind) for entry in data})
    if len(kinds) != 1:
        found = f"files of kinds {name_all(kinds)}" if kinds else "none of these"
        raise DataError(
            f"a folder must hold class folders, text files or data files of one kind, and "
            f"{folder} holds {found}; give one file instead"
        )
    _warn_ignored(folder, len(files) - len(data), "have no suffix of data")
    return _read_texts(data, folder) if kinds == ["text"] else _read_files(data)


def _warn_ignored(folder: Path, count: int, why: str) -> None:
    if count:
        warnings.warn(
            f"{count} files in {folder} {why} and are ignored", TerselyWarning, stacklevel=2
        )


def _read_classes(folder: Path, classes: list[str]) -> pa.Table:
    if {name.lower() for name in classes} <= _SPLITS:
        raise DataError(
            f"the folders in {folder} must be named after classes, and {name_all(classes)} "
            "look like splits; give one of them as the source"
        )
    paths = sorted(
        path.relative_to(folder)
        for name in classes
        for path in (folder / name).rglob("*")
        if not path.is_dir()
    )
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    data = next((path for path in paths if find_format(path).kind in TABLE_KINDS), None)
    if data is not None:
        raise DataError(
            f"a class folder must hold text files, and {folder / data} is a data file; give it, or "
            "the folder it is in, as the source"
        )
    empty = sorted(set(classes) - {path.parts[0] for path in paths})
    if empty:
        warnings.warn(
            f"{len(empty)} class folders of {folder} hold no file: {name_all(empty)}; the data "
            "has no such class",
            TerselyWarning,
            stacklevel=2,
        )
    table = _read_texts([folder / path for path in paths], folder)
    return table.append_column("label", pa.array([path.parts[0] for path in paths], pa.string()))


def _read_texts(paths: list[Path], folder: Path) -> pa.Table:
    """Read text files, a document each, with their paths relative to the folder."""
    names = [path.relative_to(folder).as_posix() for path in paths]
    texts = [_decode(_read_bytes(path), str(path)) for path in paths]
    return pa.table({"path": pa.array(names, pa.string()), "text": pa.array(texts, pa.string())})


# ---- files of tables -----------------------------------------------------------------------------


def _read_files(paths: list[Path]) -> pa.Table:
    """Read data files of one kind, one after the other, as one table."""
    kind = find_format(paths[0]).kind
    if kind == "jsonl":
        # Together, because the type of a JSON column depends on all of its values.
        return _tabulate(list(itertools.chain.from_iterable(map(_read_records, paths))))
    tables = [
        _read_parquet(path) if kind == "parquet" else _read_delimited(path, DELIMITERS[kind])
        for path in paths
    ]
    if len(tables) == 1:
        return tables[0]
    first = tables[0].column_names
    for path, table in zip(paths, tables, strict=True):
        if set(table.column_names) != set(first):
            raise DataError(
                f"all files of a folder must have the columns of {paths[0].name} "
                f"({name_all(first)}), and {path} has {name_all(table.column_names)}"
            )
    try:
        return pa.concat_tables(map(plain_types, tables), promote_options="default")
    except pa.ArrowException as error:
        raise DataError(
            f"the files of {paths[0].parent} cannot be joined into one table: {error}; make their "
            "columns alike"
        ) from error


def _read_bytes(path: Path) -> bytes:
    compression = find_format(path).compression
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        expected = f" as a whole {compression} file" if compression else ""
        raise DataError(f"{path} cannot be read{expected}: {error}; check the file") from error


def _decode(data: bytes, source: str) -> str:
    """Decode UTF-8, without a byte-order mark; say what the bytes are where they are not."""
    for signature, what in _SIGNATURES.items():
        # A text may begin with PAR1 or BZh; a file of that kind goes on with what no text has.
        if data.startswith(signature) and (
            signature not in (b"PAR1", b"BZh") or data.endswith(signature) or b"\0" in data[:64]
        ):
            raise DataError(f"{source} must be text, and holds {what}")
    skipped = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return str(memoryview(data)[skipped:], "utf-8")
    except UnicodeDecodeError as error:
        position = error.start + skipped
        guess = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise DataError(
            f"{source} is not UTF-8: byte 0x{data[position]:02x} at position {position} does not "
            "belong there; save it as UTF-8, or convert it from the encoding that it was written "
            f"in, perhaps iconv -f {guess} -t UTF-8"
        ) from error


def _read_delimited(path: Path, delimiter: str) -> pa.Table:
    text = _decode(_read_bytes(path), str(path))
    header = _read_header(text, delimiter, path)
    # Arrow takes a quote that is never closed as closed at the end of the file, and all rows
    # after it as one cell. A last row of empty cells tells: it is swallowed as well.
    #     label,text⏎ x,"a⏎ y,b⏎ "",""⏎   gives   ('x', 'a⏎ y,b⏎ ,""')   and no last row
    empty_row = delimiter.join(['""'] * len(header))
    data = f"{text}\n{empty_row}\n".encode()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread, because only then do Arrow's messages hold the row; one block, because
            # no row may span two of them.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=min(len(data), _LARGEST_BLOCK)
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        found = _WRONG_LENGTH.search(str(error))
        if found is None:
            raise DataError(f"{path} cannot be read as a table: {error}") from error
        row, expected, got = (int(number) for number in found.groups())
        raise DataError(
            f"row {row - 1} of {path} must have {expected} cells like the header, and has {got}; "
            "correct it, and quote cells that hold the delimiter, a quote or a line break"
        ) from error
    last = table.num_rows - 1
    if last < 0 or any(column[last].as_py() for column in table.columns):
        raise DataError(
            f"row {max(last + 1, 1)} of {path} opens a quote that is never closed; close it, or "
            'double the quote ("") if it belongs to the text'
        )
    return table.slice(0, last)


def _read_header(text: str, delimiter: str, path: Path) -> list[str]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = next((row for row in rows if row), None)
    except csv.Error as error:
        raise DataError(
            f"the header of {path} cannot be read: {error}; correct its quotes"
        ) from error
    if header is None:
        raise DataError(f"{path} is empty; a header and at least one row are needed")
    if len(header) == 1 and any(other in header[0] for other in (";", "\t", ",")):
        raise DataError(
            f"the columns of {path} must be separated by {delimiter!r}, and its only column is "
            f"{header[0]!r}; separate them so, or rename a .csv of tabs to .tsv"
        )
    return header


def _read_parquet(path: Path) -> pa.Table:
    try:
        return parquet.ParquetFile(pa.BufferReader(_read_bytes(path))).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}; make it anew") from error


def _read_records(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON Lines file; blank lines are passed over."""
    # Only a line feed ends a line here: str.splitlines would also cut at characters such as
    # U+2028 that JSON allows inside a string.
    records = []
    for number, line in enumerate(_decode(_read_bytes(path), str(path)).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number} of {path} must be a JSON object"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}, and is broken at character {error.colno}: {error.msg}; correct this line"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}, and cannot be read: {error}") from error
        if not isinstance(record, dict):
            raise DataError(
                f'{where} such as {{"text": ...}}, and is a {type(record).__name__}; '
                "correct this line"
            )
        records.append(record)
    return records


def _tabulate(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Lay objects out as a table: columns in the order of their first use, null where absent."""
    fields, arrays = [], []
    for name in dict.fromkeys(itertools.chain.from_iterable(records)):
        values = [record.get(name) for record in records]
        try:
            array, metadata = pa.array(values), None
            inner = array.type.value_type if pa.types.is_list(array.type) else array.type
            plain = not pa.types.is_nested(inner)
        except (pa.ArrowException, OverflowError, ValueError):
            plain = False  # of several types, beyond 64 bits, or half of a surrogate pair
        if not plain:
            texts = [None if value is None else json.dumps(value) for value in values]
            array, metadata = pa.array(texts, pa.string()), JSON_TEXT
        fields.append(pa.field(name, array.type, metadata=metadata))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields))


# ---- the Hub -------------------------------------------------------------------------------------


def _read_hub(source: str, split: str | None) -> pa.Table:
    """Read one split of a data set: `name`, `name:split` or `name:configuration:split`."""
    name, *rest = source.split(":")
    if rest and split is not None and rest[-1] != split:
        raise DataError(f"one split is needed, and {source!r} names another than {split!r}")
    split = rest[-1] if rest else split
    here = f"{name} is no file or folder here"
    try:
        data = require("datasets", "hub").load_dataset(name, rest[0] if len(rest) > 1 else None)
    except MissingExtraError as error:
        raise MissingExtraError(f"{here}, and to look for it on the Hub {error}") from error
    except FileNotFoundError as error:
        raise DataError(
            f"{here}, and the Hub has no data set of this name that can be read; check the spelling"
        ) from error
    except ConnectionError as error:
        raise DataError(
            f"{here}, and the Hub could not be reached to look for a data set of this name "
            f"({error}); check the spelling or the connection"
        ) from error
    # A data set's own loading code and the libraries below it raise whatever they like.
    except Exception as error:
        raise DataError(
            f"the Hub data set {name} could not be loaded: {' '.join(str(error).split())}; a "
            f"configuration is chosen as {name}:configuration:split"
        ) from error
    if split is None and len(data) == 1:
        split = next(iter(data))
    if split not in data:
        raise DataError(
            f"a split of {name} must be chosen among {name_all(data)}, and {split!r} was "
            f"given{close_match(split or '', data)}; add it as {name}:{next(iter(data))}"
        )
    return data[split].with_format("arrow")[:]
