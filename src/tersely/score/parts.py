"""The files that a run leaves: its manifest, a part a shard, and the rows that were not scored.

The manifest says what the run is: model, options and inputs, by fingerprint, so that no other run
continues it. It is written before any work. A part is there as a whole or not at all, is written
after its bad rows, and names the manifest's fingerprint in its metadata; so a part that is there is
finished, and whatever else lies in the folder is never taken for one. Names that begin with an
underscore or a dot are passed over by whoever reads the folder as one data set.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as parquet
from transformers.utils import cached_file

from tersely import __version__
from tersely._io import locked, written_whole
from tersely.errors import OutputError, ScoringError, name_all
from tersely.score.inputs import Input, Shard

BAD, SUMMARY = "_bad", "_summary.json"
_MANIFEST, _LOCK, _KEY = "_manifest.json", "_lock", b"tersely.score"
_FORMAT = 5
# The files of a model that decide what it says.
_MODEL_FILES = "config.json *.safetensors* pytorch_model* *token* vocab* merges.txt *.model".split()


class Count(NamedTuple):
    """What was counted in a shard, or in several.

    `bad` rows have no label; `long` documents are over the limit, which leaves `unread` of all
    `tokens`; of `unknown` documents the tokenizer knows nothing. Of the documents
    `audited`, whoever answered them, `differing` got another label than the reference's; of all,
    `review` are set apart for people.
    """

    rows: int
    bad: int
    long: int = 0
    tokens: int = 0
    unread: int = 0
    unknown: int = 0
    audited: int = 0
    differing: int = 0
    review: int = 0


def make_manifest(
    model: str, options: Mapping[str, Any], inputs: Sequence[Input]
) -> dict[str, Any]:
    """Describe a run: tersely's version, the model, options that change its rows, and inputs."""
    folder, digest = Path(cached_file(model, "config.json")).parent, hashlib.sha256()
    found = {path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(found):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    record = {"format": _FORMAT, "tersely": __version__, "model": digest.hexdigest()}
    record |= {f"option {name}": value for name, value in options.items()}
    record |= {f"input {each.name}": [each.rows, each.footer] for each in inputs}
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
    except (OSError, ValueError, KeyError, TypeError):
        begun = {}  # no manifest of ours: all is another
    names = [name for name in {**begun, **manifest} if name != "fingerprint"]
    changed = [name for name in names if begun.get(name) != manifest.get(name)]
    raise ScoringError(
        f"the run in {folder} cannot continue, because these have changed: "
        f"{name_all(changed, limit=8)}; undo that, name another output folder, or overwrite it"
    )


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    with written_whole(path.parent, "record of the run") as folder:
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (folder / path.name).write_text(text, encoding="utf-8")


def write_part(
    out: Path, shard: Shard, run: str, good: pa.Table, bad: pa.Table, counted: Count
) -> None:
    """Write the part of a shard for the run of that fingerprint, its bad rows first, if any.

    The count is kept with it, so that the sums of a run hold what earlier ones did.
    """
    if bad.num_rows:
        with written_whole(out / BAD, "rows without a label") as folder:
            parquet.write_table(bad, folder / shard.part)
    note = json.dumps({"run": run, "shard": shard.number, "count": counted._asdict()})
    with written_whole(out, "part") as folder:
        good = good.replace_schema_metadata({_KEY: note.encode()})
        parquet.write_table(good, folder / shard.part)


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
    strangers = [out.name] if out.is_file() else []
    if out.is_dir() and not (out / _MANIFEST).exists():
        strangers = sorted(e.name for e in out.iterdir() if not e.name.startswith(("_", ".")))
    if strangers:
        raise OutputError(
            f"the output {out} exists and holds no run ({strangers[0]} is there); name another "
            "folder, or empty it"
        )
    busy = ScoringError(f"another process scores into {out}; wait for it, or stop it")
    with locked(out, _LOCK, busy):
        for half in (*out.glob(".writing-*"), *(out / BAD).glob(".writing-*")):
            shutil.rmtree(half, ignore_errors=True)
        yield


def clear(out: Path) -> None:
    """Remove what a run left, the manifest last: half removed, it can still go on or be removed."""
    (out / SUMMARY).unlink(missing_ok=True)
    for part in out.glob("part-*.parquet"):
        part.unlink()
    shutil.rmtree(out / BAD, ignore_errors=True)
    (out / _MANIFEST).unlink(missing_ok=True)
