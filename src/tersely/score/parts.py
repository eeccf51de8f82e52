"""The files that a run leaves: a part a shard, and beside it the rows that could not be scored.

A part is there as a whole or not at all, and it is written after its bad rows; so a part that is
there is finished. Names beginning with an underscore or a dot are passed over by whoever reads the
folder as one data set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from tersely.errors import OutputError, ScoringError
from tersely.score.manifest import MANIFEST
from tersely.score.shards import Shard

__all__ = ["BAD", "SUMMARY", "Count", "claim", "clear", "finished", "part_path", "write_part"]

BAD = "_bad"
SUMMARY = "_summary.json"
_LOCK = "_lock"
_KEY = b"tersely.score"


@dataclass(frozen=True)
class Count:
    """What was counted in a shard, or in several.

    Attributes:
        rows: rows that were read.
        bad: those without a label, which are set aside.
        long: documents over the limit of length.
        tokens: tokens of all documents in full.
        unread: tokens that the model never sees.
        unknown: documents of which the tokenizer knows nothing.
    """

    rows: int = 0
    bad: int = 0
    long: int = 0
    tokens: int = 0
    unread: int = 0
    unknown: int = 0

    def __add__(self, other: Count) -> Count:
        """Both together."""
        return Count(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def part_path(out: Path, number: int, *, bad: bool = False) -> Path:
    """Where the part of a shard is written, or its bad rows."""
    return (out / BAD if bad else out) / f"part-{number:06d}.parquet"


def write_part(
    out: Path, shard: Shard, run: str, good: pa.Table, bad: pa.Table, counted: Count
) -> None:
    """Write the part of a shard, its bad rows first.

    Args:
        out: the run's folder.
        shard: the shard.
        run: the manifest's fingerprint.
        good: rows with labels.
        bad: rows without, with the reason; written only where there are some.
        counted: kept with the part, so that the sums of a run hold what earlier ones did.
    """
    if bad.num_rows:
        _write(part_path(out, shard.number, bad=True), bad)
    note = json.dumps({"run": run, "shard": shard.number, "count": asdict(counted)})
    metadata = (good.schema.metadata or {}) | {_KEY: note.encode()}
    _write(part_path(out, shard.number), good.replace_schema_metadata(metadata))


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, pa.ArrowException) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} could not be written: {error}; free some space and run this again, which goes "
            "on where it was"
        ) from error


def finished(out: Path, shards: Iterable[Shard], run: str) -> dict[int, Count]:
    """The numbers of the shards that are finished, with what was counted in each."""
    done = {}
    for shard in shards:
        counted = _look_at(part_path(out, shard.number), shard, run)
        if counted is not None:
            done[shard.number] = counted
    return done


def _look_at(path: Path, shard: Shard, run: str) -> Count | None:
    try:
        metadata = parquet.read_metadata(path)
        note = json.loads(metadata.metadata[_KEY])
        counted = Count(**note["count"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    whole = counted.rows == shard.rows and metadata.num_rows == counted.rows - counted.bad
    return counted if whole and (note["run"], note["shard"]) == (run, shard.number) else None


@contextlib.contextmanager
def claim(out: Path) -> Iterator[None]:
    """Make the folder of a run this process's own while the block runs, and tidy it.

    Raises:
        OutputError: if it cannot be written to, or holds what is not a run's.
        ScoringError: if another process works in it.
    """
    strangers = _strangers(out)
    if strangers:
        raise OutputError(
            f"the output {out} exists and holds no run ({strangers[0]} is there); name another "
            "folder, or empty it"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK).open("a")
    except OSError as error:
        raise OutputError(
            f"the output {out} cannot be written: {error.strerror}; choose another place"
        ) from error
    with lock:
        if not _lock(lock.fileno()):
            raise ScoringError(f"another process scores into {out}; wait for it, or stop it")
        for folder in (out, out / BAD):
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        yield


def _strangers(out: Path) -> Sequence[str]:
    if out.exists() and not out.is_dir():
        return [out.name]
    if not out.is_dir() or (out / MANIFEST).exists():
        return []
    return sorted(entry.name for entry in out.iterdir() if not entry.name.startswith(("_", ".")))


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not on Windows, where two runs in one folder are not noticed
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def clear(out: Path) -> None:
    """Remove what a run left, the manifest last: half removed, it can still go on or be removed."""
    (out / SUMMARY).unlink(missing_ok=True)
    for part in out.glob("part-*.parquet"):
        part.unlink()
    shutil.rmtree(out / BAD, ignore_errors=True)
    (out / MANIFEST).unlink(missing_ok=True)
