"""The files that a run leaves: its manifest, a part a shard, and the rows that were not scored.

The manifest says what the run is: model, options and inputs, by fingerprint, so that no other run
continues it. It is written before any work. A part is there as a whole or not at all, is written
after its bad rows, and names the manifest's fingerprint in its metadata; so a part that is there is
finished, and whatever else lies in the folder is never taken for one. Names that begin with an
underscore or a dot are passed over by whoever reads the folder as one data set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as parquet
from transformers.utils import cached_file

from tersely.errors import OutputError, ScoringError
from tersely.score.inputs import Input, Shard

__all__ = [
    "BAD",
    "SUMMARY",
    "Count",
    "claim",
    "clear",
    "fingerprint_model",
    "finished",
    "make_manifest",
    "settle",
    "write_json",
    "write_part",
]

BAD, SUMMARY = "_bad", "_summary.json"
_MANIFEST, _LOCK, _KEY = "_manifest.json", "_lock", b"tersely.score"
_FORMAT = 2
# The files of a model that decide what it says.
_MODEL_FILES = "config.json *.safetensors* pytorch_model* *token* vocab* merges.txt *.model".split()


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


# ---- the manifest ------------------------------------------------------------------------------


def fingerprint_model(source: str) -> str:
    """Return the SHA-256 of a model's weights, configuration and tokenizer, wherever it lies.

    Args:
        source: a directory, or a Hub name whose files are in the cache.
    """
    folder = Path(cached_file(source, "config.json")).parent
    digest = hashlib.sha256()
    found = {path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(found):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def make_manifest(
    version: str, model: str, options: Mapping[str, Any], inputs: Sequence[Input]
) -> dict[str, Any]:
    """Describe a run.

    Args:
        version: tersely's.
        model: the model's fingerprint.
        options: whatever changes the rows that are written.
        inputs: the files.
    """
    files = {
        file.name: {"rows": file.rows, "bytes": file.bytes, "footer": file.footer}
        for file in inputs
    }
    record = {
        "format": _FORMAT,
        "tersely": version,
        "model": model,
        "options": dict(options),
        "inputs": files,
    }
    text = json.dumps(record, sort_keys=True)
    return record | {"fingerprint": hashlib.sha256(text.encode()).hexdigest()}


def settle(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Begin a run in a folder, or make sure that the run begun there is this one.

    Raises:
        ScoringError: if another run was begun there; the message says what differs.
    """
    path = folder / _MANIFEST
    if not path.exists():
        write_json(path, manifest)
        return
    try:
        begun = json.loads(path.read_text("utf-8"))
        if begun["fingerprint"] == manifest["fingerprint"]:
            return
        changes = _differences(begun, manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScoringError(
            f"{path} cannot be read as the manifest of a run ({error}); name another output "
            "folder, or begin anew with overwrite"
        ) from error
    raise ScoringError(
        f"the run begun in {folder} cannot go on, because {'; '.join(changes)}; undo that, "
        "name another output folder, or begin anew with overwrite"
    )


def _differences(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = []
    if any(begun[name] != now[name] for name in ("format", "tersely")):
        changes.append(f"it was begun by tersely {begun['tersely']}, and this is {now['tersely']}")
    if begun["model"] != now["model"]:
        changes.append("the model is another one (its weights, configuration or tokenizer)")
    for name in sorted(begun["options"].keys() | now["options"].keys()):
        before, after = begun["options"].get(name), now["options"].get(name)
        if before != after:
            changes.append(f"{name} was {json.dumps(before)} and is {json.dumps(after)}")
    before, after = begun["inputs"], now["inputs"]
    for what, files in (
        ("changed", [name for name in before if name in after and before[name] != after[name]]),
        ("is gone", [name for name in before if name not in after]),
        ("is new", [name for name in after if name not in before]),
    ):
        if files:
            more = f" (and {len(files) - 1:,} more)" if len(files) > 1 else ""
            changes.append(f"the input {files[0]}{more} {what}")
    return changes


# ---- writing -----------------------------------------------------------------------------------


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all, even where the power goes."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    _write(path, lambda file: file.write(text.encode("utf-8")))


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
        _write(_path(out / BAD, shard), lambda file: parquet.write_table(bad, file))
    note = json.dumps({"run": run, "shard": shard.number, "count": asdict(counted)})
    good = good.replace_schema_metadata({_KEY: note.encode()})
    _write(_path(out, shard), lambda file: parquet.write_table(good, file))


def _path(folder: Path, shard: Shard) -> Path:
    return folder / f"part-{shard.number:06d}.parquet"


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, pa.ArrowException) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} could not be written: {error}; free some space and run this again, which goes "
            "on where it was"
        ) from error


# ---- what is there -----------------------------------------------------------------------------


def finished(out: Path, shards: Iterable[Shard], run: str) -> dict[int, Count]:
    """Return the numbers of the shards that are finished, with what was counted in each."""
    looked = {shard.number: _look_at(_path(out, shard), shard, run) for shard in shards}
    return {number: counted for number, counted in looked.items() if counted is not None}


def _look_at(path: Path, shard: Shard, run: str) -> Count | None:
    try:
        metadata = parquet.read_metadata(path)
        note = json.loads(metadata.metadata[_KEY])
        counted = Count(**note["count"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None  # not there, not whole, or not a run's: it is done again
    whole = counted.rows == shard.rows and metadata.num_rows == counted.rows - counted.bad
    return counted if whole and (note["run"], note["shard"]) == (run, shard.number) else None


@contextlib.contextmanager
def claim(out: Path) -> Iterator[None]:
    """Make the folder of a run this process's own while the block runs, and tidy it.

    Raises:
        OutputError: if it cannot be written to, or holds what is not a run's.
        ScoringError: if another process works in it.
    """
    strangers = [out.name] if out.exists() and not out.is_dir() else []
    if out.is_dir() and not (out / _MANIFEST).exists():
        strangers = sorted(e.name for e in out.iterdir() if not e.name.startswith(("_", ".")))
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
            for half in folder.glob(".*.tmp"):
                half.unlink(missing_ok=True)
        yield


def _lock(descriptor: int) -> bool:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True  # Windows, or a file system without locks: two runs are not noticed
    return True


def clear(out: Path) -> None:
    """Remove what a run left, the manifest last: half removed, it can still go on or be removed."""
    (out / SUMMARY).unlink(missing_ok=True)
    for part in out.glob("part-*.parquet"):
        part.unlink()
    shutil.rmtree(out / BAD, ignore_errors=True)
    (out / _MANIFEST).unlink(missing_ok=True)
