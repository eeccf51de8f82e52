"""Who scores shards: processes of this machine, replaced when they die, or actors on a Ray cluster.

What a worker does depends on the job and the shard alone, so it can be killed at any moment and the
shard given to another. Where memory runs out, the kernel ends a process, without an exception, so a
death is taken for that: those that follow get half of the token budget.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as compute
from transformers.utils import logging

from tersely import errors
from tersely._io import keep_freed_memory, resolve_device, usable_cores
from tersely.errors import ScoringError, TerselyError, TerselyWarning, require, warn
from tersely.score.inputs import Shard, read_chunks
from tersely.score.parts import Count, finished, write_part
from tersely.score.predictor import REASON, Predictor

SOURCE = ("source_file", "source_row")
"""Columns that every row gets: its file's name, and its number in it, counted from 1."""

_MOST_DEATHS = 3
_SMALLEST_BUDGET = 16
_SECONDS = 0.5  # between two looks at how far the workers are

Tell = Callable[[int], None]  # is called with the number of rows that are done
_Scored = tuple[Count, list[str]]  # what was counted in a shard, and what was warned of


@dataclass(frozen=True)
class Job:
    """What is the same for all shards; `run` is the manifest's fingerprint."""

    model: str
    out: str
    run: str
    types: Mapping[str, pa.DataType]
    options: Mapping[str, Any]  # of the predictor

    def under(self, **options: Any) -> Self:
        """Return the same job with other options."""
        return replace(self, options={**self.options, **options})

    def predictor(self) -> Predictor:
        """Load the model in a worker."""
        logging.disable_progress_bar()  # "Loading weights" of every worker has no place in a log
        return Predictor(self.model, **self.options)


def _score_shard(predictor: Predictor, shard: Shard, job: Job) -> _Scored:
    predictor.begin(shard.number)
    good, bad, first = [], [], shard.first + 1
    columns = [*dict.fromkeys([*predictor.text_columns, *predictor.id_columns])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TerselyWarning)
        for chunk in read_chunks(shard, columns, job.types):
            names = pa.repeat(pa.scalar(shard.input.name), chunk.num_rows)
            numbers = pa.array(range(first, first + chunk.num_rows), pa.int64())
            first += chunk.num_rows
            scored = predictor(chunk)
            scored = scored.add_column(0, SOURCE[0], names).add_column(1, SOURCE[1], numbers)
            labelled = compute.is_null(scored.column(REASON))
            good.append(scored.filter(labelled).drop_columns([REASON]))
            rest = scored.filter(compute.invert(labelled))
            bad.append(rest.select([*SOURCE, *predictor.id_columns, REASON]))
    good_rows, bad_rows = pa.concat_tables(good), pa.concat_tables(bad)
    counted = Count(shard.rows, bad_rows.num_rows, **predictor.tally)
    write_part(Path(job.out), shard, job.run, good_rows, bad_rows, counted)
    return counted, [str(warning.message) for warning in caught]


def run_processes(
    job: Job, shards: Sequence[Shard], workers: int | None, threads: int | None, tell: Tell
) -> dict[int, Count]:
    """Score shards in worker processes, started anew when one dies; return counts by shard.

    By default there is a worker for each core on the CPU, and one on another device; `threads` are
    those of all together. The job's `batch_tokens` are what a worker begins with.
    """
    on_cpu = resolve_device(job.options["device"]).type == "cpu"
    cores = threads or usable_cores()
    wanted = min(workers or (cores if on_cpu else 1), len(shards))
    job = job.under(threads=max(1, cores // wanted) if on_cpu else None)
    done: dict[int, Count] = {}
    deaths = 0
    while left := [shard for shard in shards if shard.number not in done]:
        before = len(done)
        try:
            _run_pool(job, left, wanted, done, tell)
        except BrokenProcessPool:
            where = next(shard for shard in left if shard.number not in done)
            died = f"a worker died, probably for lack of memory, on {where}"
            deaths = deaths + 1 if len(done) == before else 1
            if deaths == _MOST_DEATHS:
                raise ScoringError(
                    f"{died}, {_MOST_DEATHS} times; use fewer workers or a lower max_length, and "
                    "run this again to continue"
                ) from None
            budget = max(_SMALLEST_BUDGET, job.options["batch_tokens"] // 2)
            job = job.under(batch_tokens=budget)
            warn(f"{died}; unfinished work is repeated with {budget:,} tokens per batch")
    return done


def _run_pool(
    job: Job, shards: Sequence[Shard], workers: int, done: dict[int, Count], tell: Tell
) -> None:
    """Score shards into `done`; where a worker dies, all end, and BrokenProcessPool is raised."""
    waiting = iter(shards)
    running: dict[Future[_Scored], int] = {}
    others = set(multiprocessing.active_children())
    context = _context()
    # How far each shard is; without a lock, which a worker that is killed would keep.
    read = context.RawArray("q", shards[-1].number + 1)
    pool = ProcessPoolExecutor(workers, context, _begin, (job, read))
    try:
        while True:
            # A few more than workers, so that none waits for us; but not a million.
            for shard in islice(waiting, 2 * workers - len(running)):
                running[pool.submit(_work, shard)] = shard.number
            if not running:
                return
            for future in wait(running, _SECONDS, FIRST_COMPLETED).done:
                done[running.pop(future)], said = future.result()
                for text in said:
                    warn(text)
            under_way = (read[number] for number in running.values())
            tell(sum((counted.rows for counted in done.values()), sum(under_way)))
    except BaseException as error:
        # The executor would wait for what runs, and a shard may take minutes.
        if not isinstance(error, BrokenProcessPool):
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> Any:
    """Return how workers are started: forked from a process that has imported torch, or spawned.

    That process is started deaf to Ctrl-C, which is ours to answer, and so are its children from
    their first moment on: one that is interrupted while it imports would print where it was.
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


# What a worker process was begun with: the job, its model once it is asked for, how far shards are.
_here: tuple[Job, Callable[[], Predictor], Any] | None = None


def _begin(job: Job, read: Any) -> None:
    """Prepare a worker process; what could fail is left to the first shard, whose error is told."""
    global _here
    _here = job, functools.cache(job.predictor), read
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    keep_freed_memory()
    # Tokenizers would start a thread for every core in every worker.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _work(shard: Shard) -> _Scored:
    job, predictor, read = _here

    def progress(more: int) -> None:
        read[shard.number] += more

    try:
        predictor().progress = progress
        return _score_shard(predictor(), shard, job)
    except (MemoryError, RuntimeError) as error:
        # As torch says it of all devices. Ended as by the kernel, so that nothing is held on to.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        os._exit(1)


def _die_with_the_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


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
    job: Job, shards: Sequence[Shard], ray: Any, workers: int | None, tell: Tell
) -> dict[int, Count]:
    """Score shards on a Ray cluster, with at most `workers` actors of one core each.

    When a node is lost, Ray gives its shards to others; one whose part is there is not done again.
    """
    data = require("ray.data", "ray")
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    data.DataContext.get_current().enable_progress_bars = False
    on_gpu = str(job.options["device"]).startswith("cuda")
    rows = [{"place": place} for place in range(len(shards))]
    places = data.from_items(rows, override_num_blocks=min(len(shards), 4096))
    how = {"batch_size": 1, "batch_format": "pyarrow", "num_gpus" if on_gpu else "num_cpus": 1}
    how["compute"] = data.ActorPoolStrategy(min_size=1, max_size=min(most, len(shards)))
    given = (job.under(threads=None if on_gpu else 1), list(shards))
    places = places.map_batches(_Actor, fn_constructor_args=given, **how)
    counts = {}
    try:
        for row in places.iter_rows():
            if row["error"] is not None:
                raise getattr(errors, row["error"])(row["said"][0])
            counts[row["shard"]] = Count(*row["counted"])
            for text in row["said"]:
                warn(text)
            tell(sum(count.rows for count in counts.values()))
    except ray.exceptions.RayError as error:
        raise ScoringError(
            f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}; run this again "
            "to continue"
        ) from error
    return counts


class _Actor:
    """A model in a process of the cluster, loaded at the first shard; one shard a call.

    Ray would hand on errors as text alone, so the class and the sentence of ours are a row as well.
    """

    def __init__(self, job: Job, shards: Sequence[Shard]) -> None:
        self.job, self.shards = job, shards
        self.predictor = functools.cache(job.predictor)

    def __call__(self, batch: pa.Table) -> pa.Table:
        shard = self.shards[batch["place"][0].as_py()]
        row: dict[str, Any] = {"shard": shard.number, "said": []}
        row["counted"] = finished(Path(self.job.out), [shard], self.job.run).get(shard.number)
        if row["counted"] is None:
            try:
                row["counted"], row["said"] = _score_shard(self.predictor(), shard, self.job)
            except TerselyError as error:
                row |= {"error": type(error).__name__, "said": [str(error)]}
        numbers, texts = pa.list_(pa.int64()), pa.list_(pa.string())
        kinds = {"shard": pa.int64(), "counted": numbers, "said": texts, "error": pa.string()}
        return pa.Table.from_pylist([row], pa.schema(kinds))
