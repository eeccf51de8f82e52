"""Any source as one Arrow table: files, folders of classes, standard input, data sets of the Hub.

Libraries read the formats. What stands here chooses the format by name and words the errors. CSV
cells are all read as text: a label "01" stays "01", and "NA" is a word like any other.
"""

import csv
import glob
import io
import itertools
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import DataError, MissingExtraError, close_match, name_all, require, warn
from tersely.text.columns import named_classes, plain_types

_KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_KINDS |= {".parquet": "parquet", ".txt": "text"}
DELIMITERS = {"csv": ",", "tsv": "\t"}

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "unsup"}
# `name` or `owner/name`, then optionally `:split` or `:configuration:split`. A dot is allowed
# only before a digit, as in a version, so that a mistyped file name is not asked of the Hub.
_HUB_NAME = re.compile(r"[\w-]+(/[\w-]+(\.\d[\w-]*)*)?(:[\w.-]+){0,2}")


def find_kind(path: Path) -> str | None:
    """Read a file's kind off its suffix, that of a compression left aside; None if not known."""
    suffixes = path.suffixes
    if suffixes and suffixes[-1] in (".gz", ".zst"):  # which Arrow knows as well
        suffixes.pop()
    return _KINDS.get(suffixes[-1].lower()) if suffixes else None


def read_table(source: str | Path) -> tuple[pa.Table, str]:
    """Return a source's table, of a row at least, and what to call the source in messages."""
    name = str(source)
    if name == "-":
        name = "standard input"
        text = _decode(sys.stdin.buffer.read(), name)
        if lines := text.strip().count("\n"):
            warn(f"{name} has {lines + 1:,} lines, read as one document; use a file for several")
        table = pa.table({"text": pa.array([text] if text else [], pa.string())})
    elif os.path.isdir(name):
        table = _read_folder(Path(name))
    elif os.path.exists(name):
        table = _read_file(Path(name))
    elif _HUB_NAME.fullmatch(name):
        table = _read_hub(name)
    else:
        beside = glob.glob("*", root_dir=Path(name).parent)
        close = close_match(Path(name).name, beside)
        raise DataError(f"there is no file or folder {name}{close or '; check the spelling'}")
    twice = [column for column, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DataError(
            f"column names must be unique, but {name} has several named "
            f"{name_all(twice)}; rename them"
        )
    if table.num_rows == 0:
        raise DataError(f"{name} is empty: it holds no document; at least one is needed")
    return plain_types(named_classes(table, name)), name


def _read_file(path: Path) -> pa.Table:
    kind = find_kind(path)
    if kind is None:
        raise DataError(
            f"a data file must end in one of {', '.join(_KINDS)}, with or without .gz or "
            f".zst, got {path}"
        )
    data = _read_bytes(path)
    if kind == "parquet":
        try:
            return parquet.ParquetFile(pa.BufferReader(data)).read()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is not a complete Parquet file: {error}; redo it") from error
    text = _decode(data, path)
    if kind == "text":
        return pa.table({"path": [path.name], "text": [text]})
    if kind == "jsonl":
        return _read_json_lines(text, path)
    return _read_delimited(text, path, DELIMITERS[kind])


def _read_folder(folder: Path) -> pa.Table:
    """Read folders of texts, one for each class; hidden files never."""
    names = sorted(map(Path, glob.glob("**", root_dir=folder, recursive=True)))
    files = [name for name in names if not (folder / name).is_dir()]
    texts = [name for name in files if len(name.parts) > 1]
    data = next((name for name in texts if find_kind(name) not in (None, "text")), None)
    if data is not None or not texts:
        raise DataError(
            f"a folder must hold a folder of text files for each class, and {folder} holds "
            f"{'no such folder' if data is None else f'the data file {data}'}; give a file itself "
            "as the source"
        )
    if len(texts) < len(files):
        warn(
            f"{len(files) - len(texts)} files in {folder} lie beside the class folders and are "
            "ignored"
        )
    labels = [name.parts[0] for name in texts]
    if {label.lower() for label in labels} <= _SPLITS:
        raise DataError(
            f"the folders in {folder} must be named after classes, and {name_all(set(labels))} "
            "look like splits; give one of them as the source"
        )
    contents = [_decode(_read_bytes(folder / name), folder / name) for name in texts]
    paths = [name.as_posix() for name in texts]
    return pa.table({"path": paths, "text": contents, "label": labels})


def _read_bytes(path: Path) -> bytes:
    try:
        with pa.input_stream(str(path)) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a whole: {error}; check the file") from error


def _decode(data: bytes, source: str | Path) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        guess = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise DataError(
            f"{source} must be text in UTF-8, and is not: {error}; give compressed and Parquet "
            "files their suffix, export workbooks and PDFs as text, and convert text that was "
            f"written in another encoding, perhaps by iconv -f {guess} -t UTF-8"
        ) from error


def _read_delimited(text: str, path: Path, delimiter: str) -> pa.Table:
    # Not by Arrow, which takes a quote that is never closed for one that ends with the file.
    csv.field_size_limit(2**31 - 1)  # instead of 128 KiB, which long documents exceed
    header, _, rest = text.partition("\n")
    if re.fullmatch("sep=.\r?", header):  # which Excel asks for, and takes for no row either
        delimiter, text = header[4], rest
    elif delimiter not in header and (other := next((d for d in ";\t," if d in header), None)):
        # As spreadsheets write them where a comma belongs to numbers.
        warn(f"the columns of {path} are separated by {other!r} and read that way")
        delimiter = other
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            if rows and row and len(row) != len(rows[0]):
                raise csv.Error(f"it has {len(row)} cells, and the header {len(rows[0])}")
            if row:
                rows.append(row)
    except csv.Error as error:
        where = f"row {len(rows)}" if rows else "the header"
        raise DataError(
            f"{where} of {path} cannot be read: {error}; quote cells that hold the delimiter, a "
            "quote or a line break, close every quote, and double those that belong to the text"
        ) from error
    header = rows[0] if rows else []
    cells = [pa.array(column[1:], pa.string()) for column in zip(*rows, strict=True)]
    return pa.table(cells, names=header)


def _read_json_lines(text: str, path: Path) -> pa.Table:
    """Lay objects out as columns in the order of their first use, null where absent.

    Not by Arrow's reader, which makes dates of text that looks like one.
    """
    records = []
    # Not by str.splitlines, which also cuts at U+2028 and others that JSON allows in a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append({**json.loads(line)})
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f'line {number} of {path} must be a JSON object such as {{"text": ...}}: {error}; '
                "correct it"
            ) from error
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


def _read_hub(source: str) -> pa.Table:
    name, *rest = source.split(":")
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
    split = rest[-1] if rest else next(iter(data)) if len(data) == 1 else None
    if split not in data:
        raise DataError(
            f"a split of {name} must be chosen among {name_all(data)}, and {split!r} was "
            f"given{close_match(split or '', data)}; add it as {name}:{next(iter(data))}"
        )
    return data[split].with_format("arrow")[:]
