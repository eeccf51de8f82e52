"""Batches of waiting documents, by tokens, for one worker thread that runs the model.

There is no window to wait in: an idle worker takes what is there at once, and while it works the
next batch gathers. A batch is filled in order of arrival until the next document would exceed the
token budget. Nothing here knows of HTTP or of a model.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Done(NamedTuple):
    """An item's result, the seconds it waited in the queue, and those that its batch ran."""

    value: Any
    waited: float
    ran: float


@dataclass
class _Job:
    item: Any
    size: int
    future: Future[Done] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """A queue, and the thread that empties it batch by batch.

    `run` gives the results of a batch's items, in their order, and is called in that thread only;
    an item that is larger than the `budget` of tokens makes a batch of its own. `after` is called
    there when a batch is answered; it must not fail.
    """

    def __init__(
        self,
        run: Callable[[list[Any]], Sequence[Any]],
        budget: int,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._after = run, after
        self.budget = budget
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        # A daemon, so that a process which fails elsewhere does not hang on it.
        self._thread = threading.Thread(target=self._work, name="tersely-model", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the worker runs and takes items."""
        return self._thread.is_alive() and not self._closed

    def __len__(self) -> int:
        """Count the items that wait, without those that nobody waits for any more."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._waiting)

    def submit(self, items: Sequence[tuple[Any, int]]) -> list[Future[Done]]:
        """Queue items with their sizes, all or none; cancelling a future takes its item out."""
        jobs = [_Job(item, size) for item, size in items]
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed and takes no more items")
            # Those whose clients went away would otherwise pile up behind a long batch.
            if any(job.future.cancelled() for job in self._waiting):
                self._waiting = deque(job for job in self._waiting if not job.future.cancelled())
            self._waiting.extend(jobs)
            self._changed.notify()
        return [job.future for job in jobs]

    def close(self, timeout: float | None = None) -> bool:
        """Take no more items, finish those that wait, and tell whether the worker ended in time."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while batch := self._take():
            self._finish(batch, time.monotonic())
            self._after()

    def _take(self) -> list[_Job]:
        """Wait for jobs and take as many as fit, in their order; none when all is done."""
        batch: list[_Job] = []
        room = self.budget
        with self._changed:
            while not batch and (self._waiting or not self._closed):
                self._changed.wait_for(lambda: self._waiting or self._closed)
                while self._waiting and (not batch or self._waiting[0].size <= room):
                    job = self._waiting.popleft()
                    # From here on it can no longer be cancelled; a cancelled one is left out.
                    if job.future.set_running_or_notify_cancel():
                        batch.append(job)
                        room -= job.size
        return batch

    def _finish(self, batch: list[_Job], started: float) -> None:
        """Run a batch; where it fails, its halves, so that one item fails for itself alone."""
        try:
            values = self._run([job.item for job in batch])
            if len(values) != len(batch):
                raise RuntimeError(f"expected {len(batch)} results of a batch, got {len(values)}")
        except Exception as error:  # of the model, whatever it is: whoever waits for it gets it
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                self._finish(half, started)
            return
        ran = time.monotonic() - started
        for job, value in zip(batch, values, strict=True):
            job.future.set_result(Done(value, started - job.since, ran))
