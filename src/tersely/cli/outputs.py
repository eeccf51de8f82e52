"""Where results go: the checks before long work, and tables on standard output."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from tersely.errors import OutputError
from tersely.text import write_table
from tersely.text.tables import TABLE_KINDS, find_format

__all__ = ["check_directory", "write_standard_output"]


def check_directory(out: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Make sure, before long work, that a directory can be made or filled.

    Args:
        out: the directory; it is not made yet.
        overwrite: whether what it holds may be replaced.
        resume: whether it may hold the checkpoints of an interrupted run, and nothing finished.

    Raises:
        OutputError: if it is a file, holds something, or cannot be written to.
    """
    if overwrite and resume:
        raise typer.BadParameter("--resume and --overwrite exclude each other; choose one")
    if out.exists() and not out.is_dir():
        raise OutputError(f"the output {out} must be a directory, and is a file; name another")
    filled = out.is_dir() and any(out.iterdir())
    interrupted = (out / "checkpoints").is_dir()
    if filled and not overwrite and not (resume and interrupted):
        if resume:
            raise OutputError(
                f"{out} holds no interrupted run to resume; start anew with --overwrite"
            )
        go_on = ", or go on with --resume" if interrupted else ""
        raise OutputError(
            f"the output {out} exists and is not empty; name another directory, or allow it with "
            f"--overwrite{go_on}"
        )
    nearest = next(place for place in (out, *out.absolute().parents) if place.exists())
    try:
        # Asking for permissions would miss read-only file systems; trying does not.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OutputError(
            f"the output {out} cannot be written: {nearest}: {error.strerror}; choose another place"
        ) from None


def write_standard_output(
    source: str, table: pa.Table, columns: Mapping[str, Sequence[Any]], *, json_lines: bool
) -> None:
    """Write a table with further columns to standard output, in its source's format.

    Args:
        source: the input file, whose suffix says CSV or TSV; JSON Lines for any other.
        table: the input's columns.
        columns: further columns.
        json_lines: JSON Lines in any case.
    """
    kind = find_format(Path(source)).kind
    suffix = kind if kind in TABLE_KINDS and kind != "parquet" and not json_lines else "jsonl"
    with tempfile.TemporaryDirectory(prefix="tersely-") as folder:
        path = write_table(Path(folder, f"table.{suffix}"), table, columns)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
