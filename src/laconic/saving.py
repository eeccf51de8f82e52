"""Directories of models that are whole: what is written replaces what was there in one go, or not.

A full disk, or an export that does not pass its check, must leave an older model as it was. So the
files are written into a folder beside their places and moved when all of them are there.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from safetensors import SafetensorError

from laconic.errors import OutputError

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(directory: Path, what: str, *, replaces: Collection[str] = ()) -> Iterator[Path]:
    """A folder to write files into, which are in `directory` once the block has ended well.

    An error inside the block leaves `directory` as it was. Files of other names stay.

    Args:
        directory: where the files will be; it is made if it is not there.
        what: what is written, for the message: `"model"`.
        replaces: names of older files that what is written takes the place of: those of them that
            were not written anew are removed, so that the directory never describes two models.

    Raises:
        OutputError: if the directory cannot be written, or the disk is full.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_whole(Path(folder, "model"), "model") as part:
        ...         _ = (part / "config.json").write_text("{}")
        ...         before = list(Path(folder, "model").glob("*.json"))
        ...     before, [file.name for file in Path(folder, "model").iterdir()]
        ([], ['config.json'])
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # In the directory itself, since files are moved at once within one file system alone.
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as part:
            yield Path(part)
            written = [file.name for file in Path(part).iterdir()]
            for name in written:
                os.replace(Path(part, name), directory / name)
        for name in set(replaces).difference(written):
            (directory / name).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"the {what} cannot be written to {directory}: {error}; free some space or choose "
            "another place"
        ) from error
