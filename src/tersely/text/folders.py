"""Folders as sources: a folder of class folders, of loose texts, or of data files of one kind.

Hidden files and folders, whose names begin with a dot, are never part of the data.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import pyarrow as pa

from tersely.errors import DataError, TerselyWarning, name_all
from tersely.text.formats import TABLE_KINDS, decode_text, find_format, read_bytes
from tersely.text.jsonl import read_records, tabulate
from tersely.text.tables import read_delimited, read_parquet

__all__ = ["read_folder", "read_text_files", "read_tables"]

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "unsup"}


def read_folder(folder: Path) -> pa.Table:
    """Read a folder, whatever of the three kinds it is.

    Class folders give the columns `path` (relative to the folder), `text` and `label`, in the
    order of their paths; loose text files give `path` and `text`; data files give their columns,
    one file after the other in the order of their names.

    Raises:
        DataError: if the folder holds none of these, several kinds of data files, or splits.
    """
    entries = sorted(_visible(folder), key=lambda entry: entry.name)
    classes = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    if classes:
        return _read_classes(folder, classes, loose_files=len(files))
    kinds = {find_format(entry).kind for entry in files} - {None}
    unknown = [entry.name for entry in files if find_format(entry).kind is None]
    if len(kinds) != 1:
        found = f"files of kinds {name_all(sorted(kinds))}" if kinds else "none of these"
        raise DataError(
            f"a folder must hold class folders, text files or data files of one kind, and "
            f"{folder} holds {found}; give one file instead"
        )
    if unknown:
        _warn_ignored(folder, len(unknown), "have no suffix of data")
    used = [entry for entry in files if entry.name not in unknown]
    return read_text_files(used, folder) if kinds == {"text"} else read_tables(used)


def read_tables(paths: list[Path]) -> pa.Table:
    """Read data files of one kind, one after the other, as one table.

    Raises:
        DataError: if a file is broken, or its columns are not those of the first.
    """
    if find_format(paths[0]).kind == "jsonl":
        # Together, because the type of a JSON column depends on all of its values.
        return tabulate(list(itertools.chain.from_iterable(map(read_records, paths))))
    tables = [_read_table(path) for path in paths]
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
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise DataError(
            f"the files of {paths[0].parent} cannot be joined into one table: {error}; make their "
            "columns alike"
        ) from error


def _read_table(path: Path) -> pa.Table:
    kind = find_format(path).kind
    if kind == "parquet":
        return read_parquet(path)
    return read_delimited(path, "\t" if kind == "tsv" else ",")


def read_text_files(paths: list[Path], folder: Path) -> pa.Table:
    """Read text files, a document each, with their paths relative to the folder."""
    return pa.table(
        {
            "path": [path.relative_to(folder).as_posix() for path in paths],
            "text": [decode_text(read_bytes(path), str(path)) for path in paths],
        }
    )


def _read_classes(folder: Path, classes: list[Path], *, loose_files: int) -> pa.Table:
    names = {entry.name for entry in classes}
    if {name.lower() for name in names} <= _SPLITS:
        raise DataError(
            f"the folders in {folder} must be named after classes, and {name_all(sorted(names))} "
            "look like splits; give one of them as the source"
        )
    if loose_files:
        _warn_ignored(folder, loose_files, "lie beside the class folders")
    paths: list[Path] = []
    empty = []
    for entry in classes:
        found = sorted(_files_below(entry), key=lambda path: path.as_posix())
        paths += found
        if not found:
            empty.append(entry.name)
    if empty:
        warnings.warn(
            f"{len(empty)} class folders of {folder} hold no file: {name_all(empty)}; the data "
            "has no such class",
            TerselyWarning,
            stacklevel=2,
        )
    table = read_text_files(paths, folder)
    labels = [path.relative_to(folder).parts[0] for path in paths]
    return table.append_column("label", pa.array(labels, pa.string()))


def _files_below(folder: Path) -> list[Path]:
    found = []
    for entry in _visible(folder):
        if entry.is_dir():
            found += _files_below(entry)
        elif find_format(entry).kind in TABLE_KINDS:
            raise DataError(
                f"a class folder must hold text files, and {entry} is a data file; give it, or "
                "the folder it is in, as the source"
            )
        else:
            found.append(entry)
    return found


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error}; check it") from error


def _warn_ignored(folder: Path, count: int, why: str) -> None:
    warnings.warn(f"{count} files in {folder} {why} and are ignored", TerselyWarning, stacklevel=2)
