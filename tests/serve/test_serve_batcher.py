"""The queue and its worker: by tokens, in order, without a wait, and no item is ever lost."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.serve.batcher import Batcher


@pytest.fixture
def held():
    """A batcher whose worker waits for `go` before each batch, and the batches that it ran."""
    batches, go, entered = [], threading.Semaphore(0), threading.Event()

    def run(items):
        entered.set()
        go.acquire()
        batches.append(list(items))
        return [item * 10 for item in items]

    batcher = Batcher(run, budget=10)
    batcher.start()
    # Busy with this one, so that what follows has to wait.
    first = batcher.submit([(0, 1)])[0]
    assert entered.wait(10)
    yield batcher, batches, go, first
    for _ in range(100):
        go.release()
    assert batcher.close(10)


def test_batches_are_filled_by_tokens_in_order(held):
    batcher, batches, go, first = held
    sizes = [4, 6, 1, 10, 11, 3, 3, 3, 3]
    futures = batcher.submit([(number, size) for number, size in enumerate(sizes, start=1)])
    assert len(batcher) == len(sizes)
    for _ in range(20):
        go.release()
    assert [future.result(10).value for future in futures] == [10 * n for n in range(1, 10)]
    # 4 + 6 fill a batch, 10 is one, 11 is larger than any and goes alone.
    assert batches == [[0], [1, 2], [3], [4], [5], [6, 7, 8], [9]]
    assert first.result().waited >= 0 and futures[-1].result().waited > 0


def test_what_nobody_waits_for_is_not_run(held):
    batcher, batches, go, _ = held
    futures = batcher.submit([(number, 1) for number in range(1, 5)])
    assert futures[1].cancel() and futures[2].cancel()
    assert len(batcher) == 2
    for _ in range(50):
        for future in batcher.submit([(9, 1)] * 10):
            assert future.cancel()
    assert len(batcher._waiting) <= 14  # they do not pile up
    go.release()
    go.release()
    assert futures[3].result(10).value == 40
    assert batches == [[0], [1, 4]]


def test_an_idle_worker_does_not_wait():
    batcher = Batcher(lambda items: items, budget=1000)
    batcher.start()
    batcher.submit([(0, 1)])[0].result(10)
    begun = time.monotonic()
    for number in range(50):
        batcher.submit([(number, 1)])[0].result(10)
    # Any window would show fifty times.
    assert time.monotonic() - begun < 2
    assert batcher.close(10)


def test_one_bad_item_fails_alone():
    def run(items):
        if 3 in items:
            raise ValueError("three")
        return items

    batcher = Batcher(run, budget=100)
    futures = batcher.submit([(number, 1) for number in range(8)])
    batcher.start()
    with pytest.raises(ValueError, match="three"):
        futures.pop(3).result(10)
    assert [future.result(10).value for future in futures] == [0, 1, 2, 4, 5, 6, 7]
    assert batcher.alive and batcher.submit([(9, 1)])[0].result(10).value == 9
    assert batcher.close(10) and not batcher.alive
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit([(0, 1)])


@given(st.lists(st.lists(st.integers(1, 12), max_size=6), max_size=8), st.integers(1, 10))
def test_every_item_is_run_once_within_the_budget(requests, budget):
    seen = []
    batcher = Batcher(lambda items: seen.append(items) or items, budget)
    futures, number = [], 0
    for sizes in requests:
        items = [((number + place, size), size) for place, size in enumerate(sizes)]
        number += len(sizes)
        futures += batcher.submit(items)
    batcher.start()
    assert batcher.close(10)
    assert [future.result(0).value[0] for future in futures] == list(range(number))
    assert [item[0] for batch in seen for item in batch] == list(range(number))
    assert all(sum(size for _, size in batch) <= budget or len(batch) == 1 for batch in seen)
