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
import pickle
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as compute

from tersely._io import keep_freed_memory, resolve_device
from tersely.errors import ScoringError, TerselyError, TerselyWarning, require
from tersely.score.inputs import Shard, read_chunks
from tersely.score.parts import Count, finished, write_part
from tersely.score.predictor import REASON, Predictor

__all__ = ["SOURCE", "Job", "Teller", "connected", "run_processes", "run_ray"]

SOURCE = ("source_file", "source_row")
"""Columns that every row gets: its file's name, and its number in it, counted from 1."""

_MOST_DEATHS = 3
_SMALLEST_BUDGET = 16
_SECONDS = 0.5  # between two looks at how far the workers are


@dataclass(frozen=True)
class Job:
    """What is the same for all shards.

    Attributes:
        model: a directory or a Hub name.
        out: the run's folder.
        run: the manifest's fingerprint.
        types: of the columns that are kept.
        options: of `Predictor`.
    """

    model: str
    out: str
    run: str
    types: Mapping[str, pa.DataType]
    options: Mapping[str, Any] = field(default_factory=dict)


class Teller(Protocol):
    """Who is told how far the workers are."""

    def begin(self) -> None:
        """A model is loaded."""

    def done(self, rows: int) -> None:
        """So many rows are done by now, those of this run alone."""

    def warn(self, text: str) -> None:
        """Something that the user should know."""


class _Scored(NamedTuple):
    counted: Count
    budget: int
    said: list[str]


def _score_shard(
    predictor: Predictor, shard: Shard, job: Job, progress: Callable[[int], None]
) -> _Scored:
    """Score a shard and write its part; `progress` is called with the rows of it that are done."""
    predictor.report = None
    good, bad = [], []
    rows = 0
    columns = [*dict.fromkeys([*predictor.text_columns, *predictor.id_columns])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TerselyWarning)
        for chunk in read_chunks(shard, columns, job.types):
            scored = _with_source(predictor(chunk), shard, shard.first + rows)
            labelled = compute.is_null(scored.column(REASON))
            good.append(scored.filter(labelled).drop_columns([REASON]))
            rest = scored.filter(compute.invert(labelled))
            bad.append(rest.select([*SOURCE, *predictor.id_columns, REASON]))
            rows += chunk.num_rows
            progress(rows)
    good_rows, bad_rows = pa.concat_tables(good), pa.concat_tables(bad)
    counted = Count(shard.rows, bad_rows.num_rows)
    if (report := predictor.report) is not None:
        counted += Count(0, 0, report.affected, report.tokens, report.unread, report.unknown)
    write_part(Path(job.out), shard, job.run, good_rows, bad_rows, counted)
    said = [str(warning.message) for warning in caught]
    return _Scored(counted, predictor.classifier.batch_tokens, said)


def _with_source(table: pa.Table, shard: Shard, first: int) -> pa.Table:
    names = pa.repeat(pa.scalar(shard.input.name), table.num_rows)
    numbers = pa.array(range(first + 1, first + table.num_rows + 1), pa.int64())
    return table.add_column(0, SOURCE[0], names).add_column(1, SOURCE[1], numbers)


# ---- processes of this machine -----------------------------------------------------------------


def run_processes(
    job: Job, shards: Sequence[Shard], workers: int | None, budget: int, tell: Teller
) -> dict[int, Count]:
    """Score shards in worker processes.

    Args:
        job: what is the same for all shards.
        shards: those to be done.
        workers: how many processes; None for one a core on the CPU, one on another device.
        budget: tokens of a batch that they begin with.
        tell: who is told how far it is.

    Returns:
        What was counted, by the shard's number.

    Raises:
        ScoringError: if workers die three times and nothing is finished in between.
        TerselyError: whatever a worker raised.
    """
    on_cpu = resolve_device(job.options.get("device", "auto")).type == "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = min(workers or (cores if on_cpu else 1), len(shards))
    pool = _Pool(job, max(1, cores // wanted) if on_cpu else None, budget, tell)
    deaths = 0
    while left := [shard for shard in shards if shard.number not in pool.counts]:
        before = len(pool.counts)
        died = pool.run(left, wanted)
        if died is None:
            break
        deaths = deaths + 1 if len(pool.counts) == before else 1
        where = str(next(shard for shard in shards if shard.number not in pool.counts))
        if deaths == _MOST_DEATHS:
            raise ScoringError(
                f"a worker {died} {_MOST_DEATHS} times on {where}; use fewer workers or a lower "
                "max_length, and run this again, which goes on where it was"
            )
        pool.restart(died, where)
    return pool.counts


class _Pool:
    """A pool of processes; when one dies the pool is broken, and `run` can be called again."""

    def __init__(self, job: Job, threads: int | None, budget: int, tell: Teller) -> None:
        self.job = job
        self.threads = threads
        self.budget = budget
        self.tell = tell
        self.counts: dict[int, Count] = {}
        self.context = _context()

    def run(self, shards: Sequence[Shard], workers: int) -> str | None:
        """Score shards until all are done, or say how a worker died."""
        waiting = enumerate(shards)
        running: dict[Future[_Scored], tuple[int, Shard]] = {}
        # Rows done of each shard, and whether a model is loaded: each is written by one process,
        # without a lock, which a process that is killed might take with it.
        done = self.context.RawArray("q", len(shards) + 1)
        others = set(multiprocessing.active_children())
        processes: set[Any] = set()
        pool = ProcessPoolExecutor(workers, self.context, _begin, (self.job, self.threads, done))
        try:
            while True:
                # A few more than workers, so that none waits for us; but not a million.
                for place, shard in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(_work, place, shard)] = place, shard
                processes |= set(multiprocessing.active_children()) - others
                if not running:
                    return None
                ended, _ = wait(running, _SECONDS, FIRST_COMPLETED)
                for future in ended:
                    self._take(running.pop(future)[1], future.result())
                if done[len(shards)]:
                    self.tell.begin()
                now = sum(done[place] for place, _ in running.values())
                self.tell.done(sum(count.rows for count in self.counts.values()) + now)
        except BrokenProcessPool:
            pool.shutdown()
            killed = any(process.exitcode == -signal.SIGKILL for process in processes)
            return "was killed, as happens where memory runs out," if killed else "died"
        except BaseException:
            # The executor would wait for what runs, and a shard may take minutes.
            for process in processes:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def restart(self, died: str, where: str) -> None:
        """Get ready to run again after a death, with smaller batches where memory ran out."""
        advice = "what was not finished is done again"
        if "killed" in died:
            self.budget = max(_SMALLEST_BUDGET, self.budget // 2)
            options = {**self.job.options, "batch_tokens": self.budget}
            self.job = replace(self.job, options=options)
            advice = f"it is done again with {self.budget:,} tokens in a batch"
        self.tell.warn(f"a worker {died} on {where}; {advice}")

    def _take(self, shard: Shard, scored: _Scored) -> None:
        self.counts[shard.number] = scored.counted
        self.budget = min(self.budget, scored.budget)
        for text in scored.said:
            self.tell.warn(text)


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


# What a worker process was begun with.
_here: tuple[Job, int | None, Any] | None = None


def _begin(job: Job, threads: int | None, done: Any) -> None:
    """Prepare a worker process; what could fail is left to the first shard, whose error is told."""
    global _here
    _here = job, threads, done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_the_parent()
    keep_freed_memory()
    # Tokenizers would start a thread for every core in every worker.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _hide_bars()


def _hide_bars() -> None:
    """Keep "Loading weights" of every worker out of the log."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@functools.cache
def _predictor() -> Predictor:
    job, threads, done = _here
    predictor = Predictor(job.model, threads=threads, **job.options)
    done[len(done) - 1] = 1
    return predictor


def _work(place: int, shard: Shard) -> _Scored:
    job, _, done = _here

    def progress(rows: int) -> None:
        done[place] = rows

    return _score_shard(_predictor(), shard, job, progress)


def _die_with_the_parent() -> None:
    """End this process as soon as the parent is gone, however it went."""
    parent = parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# ---- a Ray cluster -----------------------------------------------------------------------------


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect Ray to a cluster; a connection that was there before is used and kept.

    Args:
        address: of the cluster, as `ray.init` takes it; `"auto"` for the one of this machine,
            `"local"` to start one here.

    Raises:
        MissingExtraError: if Ray is not installed.
        ScoringError: if the cluster cannot be reached.
    """
    ray = require("ray", "ray")
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ScoringError(
                f"the Ray cluster {address} cannot be reached: {reason}; start one with ray start "
                "--head, or give its address"
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def run_ray(
    job: Job, shards: Sequence[Shard], ray: Any, workers: int | None, tell: Teller
) -> dict[int, Count]:
    """Score shards on a Ray cluster; every node must see model, inputs and output by their paths.

    This is `map_batches` over the shards, with an actor that holds a `Predictor`. The parts say
    which shards are finished, on one machine and on a cluster alike: when a node is lost, Ray gives
    its shards to others, and one whose part is there is not done again.

    Args:
        job: what is the same for all shards.
        shards: those to be done, at least one.
        ray: what `connected` yields.
        workers: most actors, of one core each; None for one a core of the cluster.
        tell: who is told how far it is.

    Returns:
        What was counted, by the shard's number.

    Raises:
        ScoringError: if the cluster gives up.
        TerselyError: whatever an actor raised.
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
    tell.begin()
    try:
        for row in places.iter_rows():
            number, scored = pickle.loads(row["scored"])
            if isinstance(scored, TerselyError):
                raise scored
            counts[number] = scored.counted
            for text in scored.said:
                tell.warn(text)
            tell.done(sum(count.rows for count in counts.values()))
    except ray.exceptions.RayError as error:
        raise ScoringError(
            f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}; run this again, "
            "which goes on where it was"
        ) from error
    return counts


class _Actor:
    """A model in a process of the cluster; one shard a call.

    Ray would hand on what is raised here as text alone, so our own errors are returned instead.
    """

    def __init__(self, job: Job, shards: Sequence[Shard], threads: int | None) -> None:
        self.job = job
        self.shards = shards
        _hide_bars()
        try:
            self.predictor: Predictor | TerselyError = Predictor(
                job.model, threads=threads, **job.options
            )
        except TerselyError as error:
            self.predictor = error

    def __call__(self, batch: pa.Table) -> pa.Table:
        scored = [pickle.dumps(self._score(self.shards[p])) for p in batch["place"].to_pylist()]
        return pa.table({"scored": pa.array(scored, pa.binary())})

    def _score(self, shard: Shard) -> tuple[int, _Scored | TerselyError]:
        counted = finished(Path(self.job.out), [shard], self.job.run).get(shard.number)
        if counted is not None:
            return shard.number, _Scored(counted, 0, [])
        if isinstance(self.predictor, TerselyError):
            return shard.number, self.predictor
        try:
            return shard.number, _score_shard(self.predictor, shard, self.job, lambda rows: None)
        except TerselyError as error:
            return shard.number, error
