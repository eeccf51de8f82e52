"""CSV, TSV and Parquet files as tables.

CSV cells are all read as text: a label "01" stays "01", and "NA" is a word like any other.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tersely.errors import DataError
from tersely.text.formats import decode_text, read_bytes

__all__ = ["read_delimited", "read_parquet"]

# A row may not span two of Arrow's blocks, so a block holds the whole file up to this size.
_LARGEST_BLOCK = 2**30
_WRONG_LENGTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


def read_delimited(path: Path, delimiter: str) -> pa.Table:
    """Read a CSV or TSV file with a header; line breaks are allowed inside quotes.

    Raises:
        DataError: if the file is empty, not UTF-8, or a row has another number of cells than
            the header.
    """
    text = decode_text(read_bytes(path), str(path))
    header = _read_header(text, delimiter, path)
    # Arrow takes a quote that is never closed as closed at the end of the file, and all rows
    # after it as one cell. A last row of empty cells tells: it is swallowed as well.
    closing_row = "\n" + delimiter.join(['""'] * len(header)) + "\n"
    data = (text + closing_row).encode("utf-8")
    table = _parse(data, header, delimiter, path)
    last = table.num_rows - 1
    closed = last >= 0 and not any(column[last].as_py() for column in table.columns)
    if not closed:
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


def _parse(data: bytes, header: list[str], delimiter: str, path: Path) -> pa.Table:
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread, because only then do Arrow's messages hold the row.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=min(len(data), _LARGEST_BLOCK)
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=False
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


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file with its column types as they are.

    Raises:
        DataError: if the file is empty or broken.
    """
    data = read_bytes(path)
    if not data:
        raise DataError(f"{path} is empty; a Parquet file with at least one row is needed")
    try:
        return parquet.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}; make it anew") from error
