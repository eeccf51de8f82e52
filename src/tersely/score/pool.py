"""Worker processes that are given shards, and replaced when they die.

The kernel ends the process that asks for too much memory, without an exception, so a worker that
was killed is taken as out of memory: its successor gets half of the token budget.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any, Protocol

from tersely._io import resolve_device
from tersely.errors import ScoringError
from tersely.score.parts import Count
from tersely.score.shards import Shard
from tersely.score.worker import Job, work

__all__ = ["Teller", "count_cores", "run_pool"]

_MOST_DEATHS = 3
_SMALLEST_BUDGET = 16


class Teller(Protocol):
    """Who is told how far the workers are."""

    def begin(self) -> None:
        """A model is loaded."""

    def add(self, rows: int) -> None:
        """Rows are done, or, if negative, lost again."""

    def warn(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: connection.Connection
    job: Job
    shard: Shard
    rows: int = 0
    budget: int | None = None


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_pool(
    job: Job, shards: Sequence[Shard], workers: int | None, tell: Teller
) -> dict[int, Count]:
    """Score shards in worker processes.

    Args:
        job: what is the same for all shards.
        shards: those to be done.
        workers: how many processes; None for one a core on the CPU, one on another device.
        tell: who is told how far it is.

    Returns:
        What was counted, by the shard's number.

    Raises:
        ScoringError: if workers die three times on one shard.
        TerselyError: whatever a worker raised.
    """
    if not shards:
        return {}
    on_cpu = resolve_device(job.options.get("device", "auto")).type == "cpu"
    wanted = min(workers or (count_cores() if on_cpu else 1), len(shards))
    pool = _Pool(job, shards, max(1, count_cores() // wanted) if on_cpu else None, tell)
    return pool.run(wanted)


def _start_forkserver() -> None:
    """Start the process that workers are forked from, deaf to Ctrl-C, which is ours to answer.

    What it ignores they ignore, from their first moment on: a worker that is interrupted while it
    still imports would print where it was.
    """
    from multiprocessing import forkserver  # not every system has it

    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # only the main thread may, and only it is interrupted
        return
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


class _Pool:
    def __init__(
        self, job: Job, shards: Sequence[Shard], threads: int | None, tell: Teller
    ) -> None:
        self.job = job
        self.queue = deque(shards)
        self.threads = threads
        self.tell = tell
        self.workers: list[_Worker] = []
        self.deaths: Counter[int] = Counter()
        self.counts: dict[int, Count] = {}
        # One process imports torch, and the workers are forked from it.
        known = multiprocessing.get_all_start_methods()
        method = "forkserver" if "forkserver" in known else "spawn"
        self.context = multiprocessing.get_context(method)
        if method == "forkserver":
            self.context.set_forkserver_preload(["tersely.score.worker"])
            _start_forkserver()

    def run(self, count: int) -> dict[int, Count]:
        try:
            for _ in range(count):
                self._start(self.job, self.queue.popleft())
            while self.workers:
                ready = connection.wait([worker.pipe for worker in self.workers])
                for worker in [each for each in self.workers if each.pipe in ready]:
                    self._listen(worker)
        finally:
            for worker in self.workers:
                worker.process.terminate()
                worker.process.join()
                worker.pipe.close()
        return self.counts

    def _start(self, job: Job, shard: Shard) -> None:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=work, args=(theirs, job, self.threads), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours, job, shard))
        self._send(self.workers[-1])

    def _send(self, worker: _Worker) -> None:
        worker.rows = 0
        # Where it has died, that is noticed when we listen to it.
        with contextlib.suppress(OSError):
            worker.pipe.send(worker.shard)

    def _listen(self, worker: _Worker) -> None:
        try:
            what, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if what == "failed":
            raise value
        if what == "warning":
            self.tell.warn(value)
        elif what == "rows":
            worker.rows += value
            self.tell.add(value)
        elif what in ("ready", "budget"):
            self.tell.begin()
            worker.budget = value
        else:
            self._finish(worker, value)

    def _finish(self, worker: _Worker, counted: Count) -> None:
        self.counts[worker.shard.number] = counted
        if self.queue:
            worker.shard = self.queue.popleft()
            self._send(worker)
            return
        self.workers.remove(worker)
        with contextlib.suppress(OSError):
            worker.pipe.send(None)
        worker.process.join()
        worker.pipe.close()

    def _bury(self, worker: _Worker) -> None:
        """Replace a worker that died, and do its shard again."""
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        self.tell.add(-worker.rows)
        shard, code = worker.shard, worker.process.exitcode
        self.deaths[shard.number] += 1
        where = f"{shard.input.name}, rows {shard.first + 1:,} to {shard.first + shard.rows:,}"
        killed = code == -signal.SIGKILL
        died = "was killed, as happens where memory runs out," if killed else f"died (exit {code})"
        if self.deaths[shard.number] == _MOST_DEATHS:
            raise ScoringError(
                f"a worker {died} {_MOST_DEATHS} times on {where}; use fewer --workers or a lower "
                "--max-length, and run this again, which goes on where it was"
            )
        job, advice = worker.job, "the shard is done again"
        if killed and worker.budget is not None:
            budget = max(_SMALLEST_BUDGET, worker.budget // 2)
            job = replace(job, options={**job.options, "batch_tokens": budget})
            advice += f" with {budget:,} tokens in a batch"
        self.tell.warn(f"a worker {died} on {where}; {advice}")
        self._start(job, shard)
