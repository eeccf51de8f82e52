"""Who scores shards: processes of this machine, replaced when they die, or actors on a Ray cluster.

What a worker does depends on the job and the shard alone, so it can be killed at any moment and the
shard given to another. The kernel ends the process that asks for too much memory, without an
exception, so a worker that was killed is taken as out of memory: those that follow get half of the
token budget.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from tersely import errors
from tersely._io import keep_freed_memory, resolve_device
from tersely.errors import ScoringError, TerselyError, TerselyWarning, require
from tersely.score.inputs import Shard, read_chunks
from tersely.score.parts import Count, finished, write_part
from tersely.score.predictor import REASON, Predictor

SOURCE = ("source_file", "source_row")
"""Columns that every row gets: its file's name, and its number in it, counted from 1."""

_MOST_DEATHS = 3
_SMALLEST_BUDGET = 16
_SECONDS = 0.5  # between two looks at how far the workers are


@dataclass(frozen=True)
class Job:
    """What is the same for all shards; `run` is the manifest's fingerprint."""

    model: str
    out: str
    run: str
    types: Mapping[str, pa.DataType]
    options: Mapping[str, Any]

    def predictor(self, threads: int | None) -> Predictor:
        """Load the model in a worker."""
        from transformers.utils import logging

        logging.disable_progress_bar()  # "Loading weights" of every worker has no place in a log
        return Predictor(self.model, threads=threads, **self.options)


class Teller:
    """Passes on what workers report: how far they are, and once each of what they warn of.

    `progress` is called with the rows done, in all runs, those of all inputs, and rows a second.
    """

    def __init__(
        self, total: int, resumed: int, progress: Callable[[int, int, float | None], None]
    ) -> None:
        self.total = total
        self.resumed = resumed
        self.progress = progress
        self.first: tuple[float, int] | None = None
        self.said: set[str] = set()

    def done(self, rows: int) -> None:
        """Tell how many rows this run has done; fewer than before where a worker died."""
        rate = None
        if rows:
            # Imports and the loading of models, which do not grow with the rows, are left out.
            self.first = self.first or (time.monotonic(), rows)
            seconds, more = time.monotonic() - self.first[0], rows - self.first[1]
            rate = more / seconds if more > 0 else None
        self.progress(self.resumed + rows, self.total, rate)

    def warn(self, *texts: str) -> None:
        """Warn of what several workers may say."""
        for text in texts:
            if text not in self.said:
                self.said.add(text)
                warnings.warn(text, TerselyWarning, stacklevel=5)


_Scored = tuple[Count, list[str]]  # what was counted in a shard, and what was warned of


def _score_shard(
    predictor: Predictor, shard: Shard, job: Job, progress: Callable[[int], None]
) -> _Scored:
    """Score a shard and write its part; `progress` is called with the rows of it that are done."""
    predictor.report = None
    good, bad, rows = [], [], 0
    columns = [*dict.fromkeys([*predictor.text_columns, *predictor.id_columns])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TerselyWarning)
        for chunk in read_chunks(shard, columns, job.types):
            first = shard.first + rows + 1
            names = pa.repeat(pa.scalar(shard.input.name), chunk.num_rows)
            numbers = pa.array(range(first, first + chunk.num_rows), pa.int64())
            scored = predictor(chunk)
            scored = scored.add_column(0, SOURCE[0], names).add_column(1, SOURCE[1], numbers)
            labelled = compute.is_null(scored.column(REASON))
            good.append(scored.filter(labelled).drop_columns([REASON]))
            rest = scored.filter(compute.invert(labelled))
            bad.append(rest.select([*SOURCE, *predictor.id_columns, REASON]))
            rows += chunk.num_rows
            progress(rows)
    good_rows, bad_rows = pa.concat_tables(good), pa.concat_tables(bad)
    lengths: tuple[int, ...] = ()
    if (report := predictor.report) is not None:
        lengths = report.affected, report.tokens, report.unread, report.unknown
    counted = Count(shard.rows, bad_rows.num_rows, *lengths)
    write_part(Path(job.out), shard, job.run, good_rows, bad_rows, counted)
    return counted, [str(warning.message) for warning in caught]


# ---- processes of this machine -----------------------------------------------------------------


def run_processes(
    job: Job,
    shards: Sequence[Shard],
    workers: int | None,
    budget: int,
    tell: Teller,
    threads: int | None = None,
) -> dict[int, Count]:
    """Score shards in worker processes, and start them anew when one of them dies.

    By default there is a worker for each core on the CPU, and one on another device; `budget` is
    the tokens of a batch that they begin with, `threads` what they all have together. What was
    counted is returned by the shard's number; whatever a worker raised is raised.
    """
    on_cpu = resolve_device(job.options.get("device", "auto")).type == "cpu"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = threads or usable
    wanted = min(workers or (cores if on_cpu else 1), len(shards))
    threads = max(1, cores // wanted) if on_cpu else None
    done: dict[int, Count] = {}
    deaths = 0
    while left := [shard for shard in shards if shard.number not in done]:
        before = len(done)
        killed = _run_pool(job, left, wanted, threads, done, tell)
        if killed is None:
            break
        where = str(next(shard for shard in left if shard.number not in done))
        died = "was killed, as happens where memory runs out," if killed else "died"
        deaths = deaths + 1 if len(done) == before else 1
        if deaths == _MOST_DEATHS:
            raise ScoringError(
                f"a worker {died} {_MOST_DEATHS} times on {where}; use fewer workers or a lower "
                "max_length, and run this again, which goes on where it was"
            )
        advice = "what was not finished is done again"
        if killed:
            budget = max(_SMALLEST_BUDGET, budget // 2)
            job = replace(job, options={**job.options, "batch_tokens": budget})
            advice += f" with {budget:,} tokens in a batch"
        tell.warn(f"a worker {died} on {where}; {advice}")
    return done


def _run_pool(
    job: Job,
    shards: Sequence[Shard],
    workers: int,
    threads: int | None,
    done: dict[int, Count],
    tell: Teller,
) -> bool | None:
    """Score shards into `done` until all are, or a worker died; tell whether it was killed then."""
    context = _context()
    waiting = enumerate(shards)
    running: dict[Future[_Scored], tuple[int, Shard]] = {}
    # Rows done of each shard; each number is written by one process, without a lock, which a
    # process that is killed might take with it.
    rows = context.RawArray("q", len(shards))
    others = set(multiprocessing.active_children())
    processes: set[Any] = set()
    pool = ProcessPoolExecutor(workers, context, _begin, (job, threads, rows))
    try:
        while True:
            # A few more than workers, so that none waits for us; but not a million.
            for place, shard in islice(waiting, 2 * workers - len(running)):
                running[pool.submit(_work, place, shard)] = place, shard
            processes |= set(multiprocessing.active_children()) - others
            if not running:
                return None
            for future in wait(running, _SECONDS, FIRST_COMPLETED).done:
                done[running.pop(future)[1].number], said = future.result()
                tell.warn(*said)
            now = sum(rows[place] for place, _ in running.values())
            tell.done(sum(counted.rows for counted in done.values()) + now)
    except BrokenProcessPool:
        pool.shutdown()
        return any(process.exitcode == -signal.SIGKILL for process in processes)
    except BaseException:
        # The executor would wait for what runs, and a shard may take minutes.
        for process in processes:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> Any:
    """Return how workers are started: forked from a process that has imported torch, or spawned.

    That process is started deaf to Ctrl-C, which is ours to answer, and so are those forked from
    it, from their first moment on: one that is interrupted while it still imports would print where
    it was.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    from multiprocessing import forkserver  # not every system has it

    # Only the main thread may, and only it is interrupted.
    with contextlib.suppress(ValueError):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return context


# What a worker process was begun with: the job, its model once it is asked for, rows by shard.
_here: tuple[Job, Callable[[], Predictor], Any] | None = None


def _begin(job: Job, threads: int | None, done: Any) -> None:
    """Prepare a worker process; what could fail is left to the first shard, whose error is told."""
    global _here
    _here = job, functools.cache(lambda: job.predictor(threads)), done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    keep_freed_memory()
    # Tokenizers would start a thread for every core in every worker.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _work(place: int, shard: Shard) -> _Scored:
    job, predictor, done = _here
    return _score_shard(predictor(), shard, job, functools.partial(done.__setitem__, place))


def _die_with_the_parent() -> None:
    """End this process as soon as the parent is gone, however it went."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


# ---- a Ray cluster -----------------------------------------------------------------------------


def connect(address: str) -> Any:
    """Connect Ray to a cluster (`"auto"`: this machine's, `"local"`: a new one) and return it."""
    ray = require("ray", "ray")
    try:
        ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ScoringError(
            f"the Ray cluster {address} cannot be reached: {str(error).strip().splitlines()[0]}; "
            "start one with ray start --head, or give its address"
        ) from error
    return ray


def run_ray(
    job: Job, shards: Sequence[Shard], ray: Any, workers: int | None, tell: Teller
) -> dict[int, Count]:
    """Score shards on a Ray cluster; every node must see model, inputs and output by their paths.

    This is `map_batches` over the shards, with at most `workers` actors of one core each that hold
    a `Predictor`. The parts say which shards are finished, on one machine and on a cluster alike:
    when a node is lost, Ray gives its shards to others, and one whose part is there is not done
    again. What was counted is returned by the shard's number; whatever an actor raised is raised.
    """
    data = require("ray.data", "ray")
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    data.DataContext.get_current().enable_progress_bars = False
    on_gpu = str(job.options.get("device", "")).startswith("cuda")
    places = data.from_items(
        [{"place": place} for place in range(len(shards))],
        override_num_blocks=min(len(shards), 4096),
    ).map_batches(
        _Actor,
        fn_constructor_args=(job, list(shards), None if on_gpu else 1),
        batch_size=1,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(min_size=1, max_size=min(most, len(shards))),
        **({"num_gpus": 1} if on_gpu else {"num_cpus": 1}),
    )
    counts: dict[int, Count] = {}
    try:
        for row in places.iter_rows():
            if row["error"] is not None:
                raise getattr(errors, row["error"])(row["said"][0])
            counts[row["shard"]] = Count(*row["counted"])
            tell.warn(*row["said"])
            tell.done(sum(count.rows for count in counts.values()))
    except ray.exceptions.RayError as error:
        raise ScoringError(
            f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}; run this again, "
            "which goes on where it was"
        ) from error
    return counts


class _Actor:
    """A model in a process of the cluster; one shard a call.

    Ray would hand on what is raised here as text alone, so the class and the sentence of an error
    of ours are a row as well. The model is loaded at the first shard, so that its errors are, too.
    """

    def __init__(self, job: Job, shards: Sequence[Shard], threads: int | None) -> None:
        self.job = job
        self.shards = shards
        self.predictor = functools.cache(lambda: job.predictor(threads))

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = [self._score(self.shards[place]) for place in batch["place"].to_pylist()]
        numbers, texts = pa.list_(pa.int64()), pa.list_(pa.string())
        kinds = {"shard": pa.int64(), "counted": numbers, "said": texts, "error": pa.string()}
        return pa.Table.from_pylist(rows, pa.schema(kinds))

    def _score(self, shard: Shard) -> dict[str, Any]:
        row: dict[str, Any] = {"shard": shard.number}
        counted = finished(Path(self.job.out), [shard], self.job.run).get(shard.number)
        if counted is not None:
            return row | {"counted": counted, "said": []}
        try:
            counted, said = _score_shard(self.predictor(), shard, self.job, lambda rows: None)
        except TerselyError as error:
            return row | {"error": type(error).__name__, "said": [str(error)]}
        return row | {"counted": counted, "said": said}
