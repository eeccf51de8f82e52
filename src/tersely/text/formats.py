"""What a file's name says about its format, and its bytes taken out of gzip or zstd.

Readers and writers share this table, so whatever tersely writes it can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tersely.errors import DataError

__all__ = [
    "TABLE_KINDS",
    "FileFormat",
    "decode_text",
    "find_format",
    "known_suffixes",
    "read_bytes",
]

_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TABLE_KINDS = ("csv", "tsv", "jsonl", "parquet")


@dataclass(frozen=True)
class FileFormat:
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


def read_bytes(path: Path) -> bytes:
    """Read a whole file, decompressed as its suffix asks.

    Raises:
        DataError: if the file cannot be read or is not the compressed file its suffix promises.
    """
    compression = find_format(path).compression
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        expected = f" as a whole {compression} file" if compression else ""
        raise DataError(f"{path} cannot be read{expected}: {error}; check the file") from error


def decode_text(data: bytes, source: str) -> str:
    """Decode UTF-8, without a byte-order mark.

    Args:
        data: the bytes of a whole file.
        source: what to call the file in messages.

    Raises:
        DataError: if the bytes are not UTF-8, with the position of the first wrong byte.
    """
    skipped = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    try:
        return str(memoryview(data)[skipped:], "utf-8")
    except UnicodeDecodeError as error:
        position = error.start + skipped
        guess = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
        raise DataError(
            f"{source} is not UTF-8: byte 0x{data[position]:02x} at position {position} does not "
            f"belong there; save it as UTF-8, for example with iconv -f {guess} -t UTF-8"
        ) from error
