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
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as parquet
from transformers.utils import cached_file

from tersely.errors import OutputError, ScoringError
from tersely.score.inputs import Input, Shard

BAD, SUMMARY = "_bad", "_summary.json"
_MANIFEST, _LOCK, _KEY = "_manifest.json", "_lock", b"tersely.score"
_FORMAT = 2
# The files of a model that decide what it says.
_MODEL_FILES = "config.json *.safetensors* pytorch_model* *token* vocab* merges.txt *.model".split()


class Count(NamedTuple):
    """What was counted in a shard, or in several.

    Attributes:
        bad: rows without a label, which are set aside.
        long: documents over the limit of length.
        tokens: tokens of all documents in full.
        unread: tokens that the model never sees.
        unknown: documents of which the tokenizer knows nothing.
    """

    rows: int
    bad: int
    long: int = 0
    tokens: int = 0
    unread: int = 0
    unknown: int = 0


# ---- the manifest ------------------------------------------------------------------------------


def fingerprint_model(source: str) -> str:
    """Return the SHA-256 of the weights, configuration and tokenizer of a directory or Hub name."""
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
    """Describe a run: tersely's version, the model's fingerprint, options that change its rows."""
    record = {
        "format": _FORMAT,
        "tersely": version,
        "model": model,
        "options": options,
        "inputs": {
            file.name: {"rows": file.rows, "bytes": file.bytes, "footer": file.footer}
            for file in inputs
        },
    }
    text = json.dumps(record, sort_keys=True)
    return record | {"fingerprint": hashlib.sha256(text.encode()).hexdigest()}


def settle(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Begin a run in a folder, or make sure that the run begun there is this one."""
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
    for kind in ("options", "inputs"):
        for name in sorted(begun[kind].keys() | now[kind].keys()):
            before, after = begun[kind].get(name), now[kind].get(name)
            if before == after:
                continue
            if kind == "options":
                changes.append(f"{name} was {json.dumps(before)} and is {json.dumps(after)}")
            else:
                what = "is new" if before is None else "is gone" if after is None else "changed"
                changes.append(f"the input {name} {what}")
    more = [f"{len(changes) - 8:,} more differences"] if len(changes) > 8 else []
    return changes[:8] + more


# ---- writing -----------------------------------------------------------------------------------


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all, even where the power goes."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    _write(path, lambda file: file.write(text.encode("utf-8")))


def write_part(
    out: Path, shard: Shard, run: str, good: pa.Table, bad: pa.Table, counted: Count
) -> None:
    """Write the part of a shard for the run of that fingerprint, its bad rows first, if any.

    The count is kept with it, so that the sums of a run hold what earlier ones did.
    """
    if bad.num_rows:
        _write(out / BAD / shard.part, lambda file: parquet.write_table(bad, file))
    note = json.dumps({"run": run, "shard": shard.number, "count": counted._asdict()})
    good = good.replace_schema_metadata({_KEY: note.encode()})
    _write(out / shard.part, lambda file: parquet.write_table(good, file))


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
    counts = {}
    for shard in shards:
        try:
            metadata = parquet.read_metadata(out / shard.part)
            note = json.loads(metadata.metadata[_KEY])
            counted = Count(**note["count"])
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
            continue  # not there, not whole, or not a run's: it is done again
        whole = counted.rows == shard.rows and metadata.num_rows == counted.rows - counted.bad
        if whole and (note["run"], note["shard"]) == (run, shard.number):
            counts[shard.number] = counted
    return counts


@contextlib.contextmanager
def claim(out: Path) -> Iterator[None]:
    """Make the folder of a run this process's own while the block runs, and tidy it."""
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
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScoringError(
                f"another process scores into {out}; wait for it, or stop it"
            ) from None
        except (ImportError, OSError):
            pass  # Windows, or a file system without locks: two runs are not noticed
        for folder in (out, out / BAD):
            for half in folder.glob(".*.tmp"):
                half.unlink(missing_ok=True)
        yield


def clear(out: Path) -> None:
    """Remove what a run left, the manifest last: half removed, it can still go on or be removed."""
    (out / SUMMARY).unlink(missing_ok=True)
    for part in out.glob("part-*.parquet"):
        part.unlink()
    shutil.rmtree(out / BAD, ignore_errors=True)
    (out / _MANIFEST).unlink(missing_ok=True)
