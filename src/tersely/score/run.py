"""A run from input files to parts: what is left to do, who does it, and how far it is."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tersely._io import resolve_device
from tersely.certificates import Audit
from tersely.classifier import Classifier
from tersely.errors import (
    DataError,
    ModelError,
    OutputError,
    ScoringError,
    TerselyWarning,
    name_all,
    require,
    warn,
)
from tersely.export import is_export
from tersely.score import parts
from tersely.score.inputs import Input, Shard, cut_shards, find_inputs, read_chunks, resolve_types
from tersely.score.predictor import Predictor
from tersely.score.workers import SOURCE, Job, connect, run_processes, run_ray
from tersely.text.columns import choose_columns
from tersely.text.encoding import LengthReport

_DECISIVE = "max_length", "long", "max_disagreement", "max_loss", "max_error"
_LOOKED_AT = 100  # rows of the first file, to guess columns by


@dataclass(frozen=True)
class Summary:
    """What a run did, in `seconds`; the numbers are of all runs into that folder.

    `bad` rows have no label and are in the folder `_bad`; `resumed` ones were done by earlier runs.
    `audit` is what an audit saw, None without one; `review` says how many rows are set apart for
    people, None where no limit on the error is in use.
    """

    out: Path
    rows: int
    bad: int
    shards: int
    resumed: int
    seconds: float
    audit: Audit | None = None
    review: str | None = None


def score(
    model: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    id_columns: Sequence[str] = (),
    probabilities: bool = False,
    keep: float | None = None,
    audit: float = 0.0,
    workers: int | None = None,
    threads: int | None = None,
    shard_rows: int = 10_000,
    overwrite: bool = False,
    ray: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    **loading: Any,
) -> Summary:
    """Label the rows of Parquet files, in worker processes, and go on where a killed run was.

    What was done is also written to `_summary.json`. Call it below `if __name__ == "__main__":`, as
    everything that starts processes.

    Args:
        model: a directory or a Hub name.
        inputs: Parquet files, folders of them, or patterns such as `"in/*.parquet"`.
        out: the folder of the parts; a run that was begun there goes on.
        text_column: the column of texts; guessed from the first file by default.
        text_pair_column: the column of second texts.
        id_columns: columns that are kept; every row has its file and its number in any case.
        probabilities: also write the probability of every label.
        keep: another share of tokens to keep than the model was trained with.
        audit: the share of documents, drawn at random, of which a cascade's early answers are
            compared with the reference's; a limit that is no longer plausible is warned of.
        workers: processes, each with a copy of the model and a share of the cores; by default one
            a core on CPUs, and one on a GPU.
        threads: threads of all workers on this machine together; None for one a core.
        shard_rows: most rows of a part, which are repeated where a run is killed.
        overwrite: remove a run that was begun in `out`, and begin anew.
        ray: the address of a Ray cluster to do it on, every node of which must see the model, the
            inputs and `out` by the same paths.
        progress: called with the rows that are done, those of earlier runs included, and the rows
            of all inputs.
        **loading: as of `Classifier.from_pretrained`: `max_length`, `long`, `batch_tokens`,
            `device`, `max_disagreement`, `max_loss`, `max_error`.

    Raises:
        DataError: if an input cannot be read or lacks a column.
        ModelError: if the model cannot be read, is an export, or cannot do what is asked.
        OutputError: if the folder cannot be written to or holds something else.
        ScoringError: if another run was begun in `out`, or workers die again and again.

    Example:
        >>> score("model/", "in/*.parquet", "out/", id_columns=["id"])  # doctest: +SKIP
    """
    began = time.monotonic()
    out = Path(out)
    if shard_rows < 1 or (workers is not None and workers < 1):
        raise ScoringError(
            f"shard_rows and workers must be at least 1, got {shard_rows} and {workers}"
        )
    patterns = [inputs] if isinstance(inputs, str | Path) else inputs
    files = find_inputs([*map(str, patterns)], out)
    if inside := [file.path for file in files if out.absolute() in Path(file.path).parents]:
        raise OutputError(
            f"the output {out} must not hold inputs, and {inside[0]} is one; name another folder"
        )
    if not any(file.rows for file in files):
        raise DataError(f"{files[0].path} and all other inputs hold no row; at least one is needed")
    columns = _choose(files, text_column, text_pair_column, id_columns)
    texts = [name for name in (columns["text_column"], columns["pair_column"]) if name is not None]
    types = resolve_types(files, texts, id_columns)
    # What decides the rows that are written; the others may differ from run to run.
    decisive = columns | {"probabilities": probabilities, "keep": keep, "audit": audit}
    decisive |= {name: loading.get(name) for name in _DECISIVE}
    options = {"device": "auto"} | loading | decisive
    checked = _check_model(model, options, ray)
    options["batch_tokens"] = checked.batch_tokens
    manifest = parts.make_manifest(str(model), decisive | {"shard_rows": shard_rows}, files)
    # Absolute, since the processes of a cluster stand elsewhere.
    place = str(Path(model).absolute()) if Path(model).is_dir() else str(model)
    run = manifest["fingerprint"]
    job = Job(place, str(out.absolute()), run, types, options)
    shards = cut_shards(files, shard_rows)
    with parts.claim(out):
        counts = {} if overwrite else parts.finished(out, shards, run)
        left = [shard for shard in shards if shard.number not in counts]
        resumed = sum(count.rows for count in counts.values())
        rows = sum(shard.rows for shard in shards)

        def tell(done: int) -> None:
            if progress is not None:
                progress(resumed + done, rows)

        tell(0)
        cluster = connect(ray) if ray is not None and left else None
        # Only here, where nothing is left that could refuse the new run.
        if overwrite:
            parts.clear(out)
        parts.settle(out, manifest)
        if cluster is not None:
            counts |= run_ray(job, left, cluster, workers, tell)
        elif left:
            counts |= run_processes(job, left, workers, threads, tell)
        total = parts.Count(*map(sum, zip(*counts.values(), strict=True)))
        watched = _tell_sums(checked, total, out, audit=audit > 0)
        seconds = time.monotonic() - began
        review = checked.review and checked.review.sentence(total.review, total.rows - total.bad)
        counted = total.rows, total.bad, len(shards), resumed
        summary = Summary(out, *counted, seconds, watched, review)
        record = {"fingerprint": run, "parts": len(shards), **total._asdict()}
        record |= {"audit": watched and watched.report()}
        parts.write_json(out / parts.SUMMARY, record)
    return summary


def _tell_sums(checked: Classifier, total: parts.Count, out: Path, *, audit: bool) -> Audit | None:
    """Warn of what the counts of all shards say; return the audit of them all, if there is one."""
    lengths = (total.long, total.tokens, total.unread, checked.model_config.long, checked.limit)
    told = LengthReport(total.rows - total.bad, *lengths, total.unknown).sentences()
    if total.bad:
        told.append(
            f"{total.bad:,} of {total.rows:,} rows have no label; {out / parts.BAD} says why"
        )
    counts = {"audited": total.audited, "differing": total.differing}
    watched = replace(checked.new_audit(), **counts) if audit else None
    if watched is not None and watched.warns:
        told.append(watched.sentence())
    for sentence in told:
        warn(sentence)
    return watched


def _check_model(model: str | Path, options: dict[str, Any], ray: str | None) -> Classifier:
    """Load the model as workers will, so that what they would refuse is refused before any harm."""
    if is_export(model):
        raise ModelError(
            f"score runs models of torch, and {model} is an export; score with the model that it "
            "was made from"
        )
    if ray is None:
        resolve_device(options["device"])
    else:
        # The devices are those of the cluster's nodes.
        require("ray.data", "ray")
    with warnings.catch_warnings(action="ignore", category=TerselyWarning):  # the workers' to say
        return Predictor(str(model), **(options | {"device": "cpu"})).classifier


def _choose(
    files: Sequence[Input], text: str | None, pair: str | None, ids: Sequence[str]
) -> dict[str, Any]:
    """Return the columns in use, as options of `Predictor`, guessed from the first file."""
    first = next(file for file in files if file.rows)
    beginning = Shard(0, first, 0, min(_LOOKED_AT, first.rows))
    table = next(read_chunks(beginning, [*first.types], {}))
    text, pair, _ = choose_columns(table, first.path, text, pair, labels="ignore")
    if {*ids} & {*SOURCE} or len(set(ids)) < len(ids):
        raise DataError(
            f"the columns to keep must differ from each other and from {name_all(SOURCE)}, which "
            f"are added; got {name_all(ids)}"
        )
    return {"text_column": text, "pair_column": pair, "id_columns": list(ids)}
