"""Who runs when, and what the clock attributes to whom."""

import gc

import numpy as np
import pytest
from bench_fakes import FakeContender

from tersely.bench import take_turns


def prepared(names, log=None, clock=None, seconds=(1.0,), documents=4):
    contenders = [FakeContender(name, clock, seconds, log) for name in names]
    for contender in contenders:
        contender.prepare(["a b"] * documents)
    return contenders


@pytest.mark.parametrize(("names", "wanted"), [("ab", "abbaab"), ("abc", "abcbcacab")])
def test_each_round_begins_with_the_next_contender(names, wanted):
    log = []
    take_turns(prepared(names, log), rounds=3, warmup=2)
    assert "".join(log) == "".join(name * 2 for name in names) + wanted


def test_documents_alone_are_split_over_the_rounds_after_one_untimed_pass():
    log = []
    [timing] = take_turns(prepared("a", log), 2, 0, [3, 1, 2])
    assert log == [("a", 3), ("a", 1), ("a", 2), "a", ("a", 3), ("a", 2), "a", ("a", 1)]
    assert len(timing.latencies) == 3


def test_seconds_and_milliseconds_are_each_contenders_own(clock):
    left, right = prepared("ab", clock=clock)
    left.seconds, right.seconds = [2.0, 3.0], [5.0, 7.0]
    timings = take_turns([left, right], 2, 0, [0, 3])
    assert [timing.seconds for timing in timings] == [pytest.approx([2, 3]), pytest.approx([5, 7])]
    for timing in timings:
        assert timing.latencies == pytest.approx([1.0, 4.0])
        np.testing.assert_array_equal(timing.logits, left.logits)


def test_the_heap_is_tidied_before_each_turn_but_not_between_documents(monkeypatch):
    collections = []
    monkeypatch.setattr(gc, "collect", lambda: collections.append("tidy"))
    take_turns(prepared("ab"), 3, 0, [0, 1, 2])
    assert len(collections) == 2 * 3
