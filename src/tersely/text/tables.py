"""Any source as one Arrow table: files, folders, standard input and data sets of the Hub.

Libraries read the formats. What stands here chooses the format by name and words the errors. CSV
cells are all read as text: a label "01" stays "01", and "NA" is a word like any other.
"""

from __future__ import annotations

import csv
import glob
import io
import itertools
import json
import os
import re
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import (
    DataError,
    MissingExtraError,
    TerselyWarning,
    close_match,
    name_all,
    require,
)
from tersely.text.columns import named_classes, plain_types

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
    b"PAR1\x15": "a Parquet file; give it the suffix .parquet",
    b"%PDF-": "a PDF; extract its text",
}
# `name` or `owner/name`, then optionally `:split` or `:configuration:split`. A dot is allowed
# only before a digit, as in a version, so that a mistyped file name is not asked of the Hub.
_HUB_NAME = re.compile(r"[\w-]+(/[\w-]+(\.\d[\w-]*)*)?(:[\w.-]+){0,2}")


def find_format(path: Path) -> tuple[str | None, str | None]:
    """Read kind and compression off a file's suffixes; None for those that are not known.

    Example:
        >>> find_format(Path("reviews.CSV.gz"))
        ('csv', 'gzip')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None, compression


def known_suffixes(*, tables_only: bool = False) -> str:
    """Spell the suffixes tersely knows, for messages."""
    kinds = [suffix for suffix, kind in _KINDS.items() if not tables_only or kind in TABLE_KINDS]
    return f"{', '.join(kinds)}, each also with {' or '.join(_COMPRESSIONS)}"


def read_table(source: str | Path, split: str | None = None) -> tuple[pa.Table, str]:
    """Return a source's table, of a row at least, and what to call the source in messages."""
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
        beside = glob.glob("*", root_dir=Path(name).parent)
        close = close_match(Path(name).name, beside)
        raise DataError(f"there is no file or folder {name}{close or '; check the spelling'}")
    twice = [column for column, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DataError(
            f"columns must have names of their own, and {name} has several named "
            f"{name_all(twice)}; rename them"
        )
    if table.num_rows == 0:
        raise DataError(f"{name} is empty: it holds no document; at least one is needed")
    return plain_types(named_classes(table, name)), name


def _read_path(path: Path) -> pa.Table:
    kind = find_format(path)[0]
    if path.is_dir():
        return _read_folder(path)
    if kind == "text":
        return _read_texts([path], path.parent)
    if kind == "parquet":
        return _read_parquet(path)
    if kind == "jsonl":
        return _read_json_lines(path)
    if kind is not None:
        return _read_delimited(path, DELIMITERS[kind])
    raise DataError(
        f"the suffix of a data file must be one of {known_suffixes()}, and {path} has another"
    )


def _read_folder(folder: Path) -> pa.Table:
    """Read folders of texts, one for each class, or loose text files; hidden ones never."""
    names = sorted(map(Path, glob.glob("**", root_dir=folder, recursive=True)))
    files = [name for name in names if not (folder / name).is_dir()]
    inside = [name for name in files if len(name.parts) > 1]
    texts = inside or [name for name in files if find_format(name)[0] == "text"]
    data = next((name for name in inside if find_format(name)[0] in TABLE_KINDS), None)
    if data is not None or not texts:
        raise DataError(
            f"a folder must hold text files, loose or in a folder for each class, and {folder} "
            f"holds {'no text' if data is None else f'the data file {data}'}; give a data file "
            "itself as the source"
        )
    if len(texts) < len(files):
        where = "beside the class folders" if inside else "without the suffix .txt"
        warnings.warn(
            f"{len(files) - len(texts)} files in {folder} lie {where} and are ignored",
            TerselyWarning,
            stacklevel=2,
        )
    table = _read_texts([folder / name for name in texts], folder)
    if not inside:
        return table
    labels = [name.parts[0] for name in inside]
    if {label.lower() for label in labels} <= _SPLITS:
        raise DataError(
            f"the folders in {folder} must be named after classes, and {name_all(set(labels))} "
            "look like splits; give one of them as the source"
        )
    return table.append_column("label", pa.array(labels, pa.string()))


def _read_texts(paths: list[Path], folder: Path) -> pa.Table:
    """Read text files, a document each, with their paths relative to the folder."""
    names = [path.relative_to(folder).as_posix() for path in paths]
    texts = [_decode(_read_bytes(path), str(path)) for path in paths]
    return pa.table({"path": pa.array(names, pa.string()), "text": pa.array(texts, pa.string())})


def _read_bytes(path: Path) -> bytes:
    compression = find_format(path)[1]
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        expected = f" as a whole {compression} file" if compression else ""
        raise DataError(f"{path} cannot be read{expected}: {error}; check the file") from error


def _decode(data: bytes, source: str) -> str:
    """Decode UTF-8, without a byte-order mark; say what the bytes are where they are not."""
    for signature, what in _SIGNATURES.items():
        if data.startswith(signature):
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
    # Not by Arrow, which takes a quote that is never closed for one that ends with the file.
    csv.field_size_limit(2**31 - 1)  # instead of 128 KiB, which long documents exceed
    text = io.StringIO(_decode(_read_bytes(path), str(path)), newline="")
    rows: list[list[str]] = []
    try:
        for row in csv.reader(text, delimiter=delimiter, strict=True):
            if rows and row and len(row) != len(rows[0]):
                raise DataError(
                    f"row {len(rows)} of {path} must have {len(rows[0])} cells like the header, "
                    f"and has {len(row)}; correct it, and quote cells that hold the delimiter, a "
                    "quote or a line break"
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        where = f"row {len(rows)}" if rows else "the header"
        raise DataError(
            f"{where} of {path} cannot be read: {error}; close every quote, and double those that "
            "belong to the text"
        ) from error
    header = rows[0] if rows else []
    if len(header) == 1 and any(other in header[0] for other in (";", "\t", ",")):
        raise DataError(
            f"the columns of {path} must be separated by {delimiter!r}, and its only column is "
            f"{header[0]!r}; separate them so, or rename a .csv of tabs to .tsv"
        )
    cells = [pa.array(column[1:], pa.string()) for column in zip(*rows, strict=True)]
    return pa.table(cells, names=header)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return parquet.ParquetFile(pa.BufferReader(_read_bytes(path))).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}; make it anew") from error


def _read_json_lines(path: Path) -> pa.Table:
    """Lay objects out as columns in the order of their first use, null where absent.

    Not by Arrow's reader, which makes dates of text that looks like one.
    """
    records = _read_records(path)
    columns = {}
    for name in dict.fromkeys(itertools.chain.from_iterable(records)):
        try:
            columns[name] = pa.array([record.get(name) for record in records])
        except (pa.ArrowException, OverflowError, ValueError) as error:
            raise DataError(
                f"column {name!r} of {path} must hold values of one type: {error}; make them "
                "alike, or leave the column out"
            ) from error
    return pa.table(columns)


def _read_records(path: Path) -> list[dict[str, Any]]:
    records = []
    # Not by str.splitlines, which also cuts at U+2028 and others that JSON allows in a string.
    for number, line in enumerate(_decode(_read_bytes(path), str(path)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} of {path} must be a JSON object, and is broken: {error}; correct it"
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f'line {number} of {path} must be a JSON object such as {{"text": ...}}, and is a '
                f"{type(record).__name__}; correct it"
            )
        records.append(record)
    return records


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
    # A data set's own loading code and the libraries below it raise whatever they like.
    except Exception as error:
        raise DataError(
            f"{here}, and a data set of this name could not be loaded from the Hub: "
            f"{' '.join(str(error).split())}; check the spelling and the connection; a "
            f"configuration is chosen as {name}:configuration:split"
        ) from error
    split = next(iter(data)) if split is None and len(data) == 1 else split
    if split not in data:
        raise DataError(
            f"a split of {name} must be chosen among {name_all(data)}, and {split!r} was "
            f"given{close_match(split or '', data)}; add it as {name}:{next(iter(data))}"
        )
    return data[split].with_format("arrow")[:]
