"""One shard from the input to its part, and the process that does so again and again.

What a worker does depends on the job and the shard alone, so it can be killed at any moment and the
shard given to another.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from tersely._io import keep_freed_memory
from tersely.errors import TerselyWarning
from tersely.score.parts import Count, write_part
from tersely.score.predictor import REASON, Predictor
from tersely.score.shards import Shard, read_chunks

__all__ = ["SOURCE", "Job", "score_shard", "work"]

SOURCE = ("source_file", "source_row")
"""Columns that every row gets: its file's name, and its number in it, counted from 1."""


@dataclass(frozen=True)
class Job:
    """What is the same for all shards.

    Attributes:
        model: a directory or a Hub name.
        out: the run's folder.
        run: the manifest's fingerprint.
        options: of `Predictor`.
    """

    model: str
    out: str
    run: str
    options: Mapping[str, Any] = field(default_factory=dict)


def score_shard(
    predictor: Predictor, shard: Shard, job: Job, progress: Callable[[int], None]
) -> Count:
    """Score a shard and write its part.

    Args:
        predictor: made from the job's options.
        shard: the shard.
        job: the job.
        progress: called with the number of rows done after each chunk.

    Returns:
        What was counted.
    """
    predictor.report, predictor.unknown = None, 0
    good, bad = [], []
    place = shard.first
    columns = [*dict.fromkeys([*predictor.text_columns, *predictor.id_columns])]
    for chunk in read_chunks(shard, columns):
        scored = _with_source(predictor(chunk), shard, place)
        labelled = compute.is_null(scored.column(REASON))
        good.append(scored.filter(labelled).drop_columns([REASON]))
        rest = scored.filter(compute.invert(labelled))
        bad.append(rest.select([*SOURCE, *predictor.id_columns, REASON]))
        place += chunk.num_rows
        progress(chunk.num_rows)
    good_rows, bad_rows = pa.concat_tables(good), pa.concat_tables(bad)
    report = predictor.report
    counted = Count(shard.rows, bad_rows.num_rows, unknown=predictor.unknown)
    if report is not None:
        counted += Count(long=report.affected, tokens=report.tokens, unread=report.unread)
    write_part(Path(job.out), shard, job.run, good_rows, bad_rows, counted)
    return counted


def _with_source(table: pa.Table, shard: Shard, first: int) -> pa.Table:
    rows = table.num_rows
    files = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), rows), [shard.input.name]
    )
    numbers = pa.array(range(first + 1, first + rows + 1), pa.int64())
    table = table.add_column(0, SOURCE[0], files.dictionary_decode())
    return table.add_column(1, SOURCE[1], numbers)


def work(pipe: connection.Connection, job: Job, threads: int | None) -> None:
    """Score shards that come through a pipe, until None comes; the body of a worker process.

    What is sent back are pairs: `("ready", budget)`, `("rows", number)`, `("budget", tokens)`,
    `("warning", text)`, `("done", count)`, and `("failed", exception)`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    _die_with_the_parent()
    keep_freed_memory()
    # Tokenizers would start a thread for every core in every worker.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", TerselyWarning)
    warnings.showwarning = lambda message, *_, **__: pipe.send(("warning", str(message)))
    try:
        predictor = Predictor(job.model, threads=threads, **job.options)
        pipe.send(("ready", predictor.classifier.batch_tokens))
        while (shard := pipe.recv()) is not None:
            counted = score_shard(predictor, shard, job, lambda rows: pipe.send(("rows", rows)))
            pipe.send(("budget", predictor.classifier.batch_tokens))
            pipe.send(("done", counted))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(("failed", _portable(error)))


def _portable(error: Exception) -> Exception:
    """The exception, or one that says the same, if it would not survive the way to the parent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _die_with_the_parent() -> None:
    """End this process as soon as the parent is gone, however it went."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
