"""Who runs when, what the clock and the memory are attributed to, and how sure the figures are."""

import gc
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from bench_fakes import AllocatingContender, FakeContender
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from tersely.bench import Spread, Timing, paired_ratio, summarise, take_turns
from tersely.bench.clock import time_alone
from tersely.bench.memory import PeakMemory, measure, measure_memory
from tersely.errors import TerselyWarning
from tersely.text.metrics import compare, share_interval


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


def test_documents_alone_are_timed_in_turns_after_an_untimed_run(clock):
    log = []
    contenders = prepared("ab", log, clock, seconds=[5.0, 0.001])
    timings = [Timing(contender.name) for contender in contenders]
    time_alone(contenders, timings, ["a", "b b"])
    assert "".join(log) == "aabb" + "bbaa"
    for timing in timings:
        assert timing.latencies == timing.from_text == pytest.approx([1.0, 1.0])


def test_seconds_are_each_contenders_own(clock):
    left, right = prepared("ab", clock=clock)
    left.seconds, right.seconds = [2.0, 3.0], [5.0, 7.0]
    timings = take_turns([left, right], 2, 0)
    assert [timing.seconds for timing in timings] == [pytest.approx([2, 3]), pytest.approx([5, 7])]
    for timing in timings:
        np.testing.assert_array_equal(timing.logits, left.logits)


def test_the_heap_is_tidied_before_each_turn_but_not_between_documents(monkeypatch):
    collections = []
    monkeypatch.setattr(gc, "collect", lambda: collections.append("tidy"))
    contenders = prepared("ab")
    time_alone(contenders, take_turns(contenders, 3, 0), ["a"] * 4)
    assert len(collections) == 2 * 3


# ---- statistics, by hand -----------------------------------------------------------------------

SINGLE = "single_label_classification"


def test_a_spread_by_hand_and_ratios_paired_so_that_a_slow_round_cancels():
    spread = summarise([5, 1, 4, 2, 3])
    assert replace(spread, interval=None) == Spread(3, 1, 5, 2, 4)
    assert spread.relative == pytest.approx(2 / 3) and summarise([0.0, 0.0]).relative == 0
    assert paired_ratio([1, 10, 1], [2, 20, 2]) == Spread(2, 2, 2, 2, 2, (2, 2))


@given(st.integers(1, 400), st.floats(0, 1))
def test_the_interval_of_a_share_is_that_of_the_beta_distribution(documents, share):
    count = round(share * documents)
    low, high = share_interval(count, documents)
    rest = documents - count
    assert low == pytest.approx(beta.ppf(0.025, count, rest + 1) if count else 0)
    assert high == pytest.approx(beta.ppf(0.975, count + 1, rest) if rest else 1)


def test_the_comparison_counts_what_only_one_has_right():
    base = np.eye(2)[[0] * 8 + [1] * 4]
    found = compare(np.eye(2)[[0] * 7 + [1] * 5], base, [0] * 7 + [1] * 5, SINGLE)
    assert (found.better, found.worse) == (1, 0)
    labels = [1] * 12
    found = compare(np.eye(2)[[1] * 9 + [0] * 3], base, labels, SINGLE)
    assert (found.better, found.worse) == (8, 3)
    assert found.difference == pytest.approx(5 / 12)
    assert found.p_value == pytest.approx(2 * binom.cdf(3, 11, 0.5))
    assert found.interval[0] < 5 / 12 < found.interval[1]
    assert compare(base, base, labels, SINGLE).p_value == 1


# ---- memory: a contender's peak is its own, not the parent's, not that of loading --------------

MEBIBYTE = 2**20

# What the system can do, not what the code says of it: a broken reset has to fail here.
needs_reset = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="only Linux lets a process forget its peak memory",
)


# In a process of its own: a command that ran in this one may keep what is freed.
GROWTH = """
import json
import numpy as np
from tersely.bench.memory import measure
np.ones(256 * 2**20, dtype=np.uint8)  # a peak before, to be forgotten
found = [measure(lambda: np.ones(taken * 2**20, dtype=np.uint8)) for taken in (0, 48, 96)]
print(json.dumps(found))
"""


def growth(found):
    return (found.peak_bytes - found.loaded_bytes) / MEBIBYTE


@needs_reset
def test_the_growth_is_what_running_takes():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, check=True)
    grown = [PeakMemory(**each) for each in json.loads(done.stdout.splitlines()[-1])]
    sizes = [growth(each) for each in grown]
    assert sizes == pytest.approx([0, 48, 96], abs=8)


@pytest.mark.slow
@needs_reset
def test_the_parents_memory_and_that_of_loading_do_not_show():
    ballast = np.ones(1024 * MEBIBYTE, dtype=np.uint8)
    contender = AllocatingContender("taker", held=64 * MEBIBYTE, taken=128 * MEBIBYTE)
    found = measure_memory(contender, ["some text, \ud800 ü"])
    assert found.peak_bytes < ballast.nbytes
    assert growth(found) == pytest.approx(128, abs=16)


def test_what_cannot_be_sent_is_not_measured_and_said():
    fake = FakeContender("fake", log=threading.Lock())
    with pytest.warns(TerselyWarning, match="'fake' was not measured.*cannot be sent.*lock"):
        assert measure_memory(fake, ["text"]) is None


def test_a_failing_process_is_reported_with_its_last_words(monkeypatch):
    def die(*_, **__):
        raise subprocess.CalledProcessError(1, [], stderr=b"Traceback\nValueError: no model")

    monkeypatch.setattr(subprocess, "run", die)
    with pytest.warns(TerselyWarning, match="'lost' was not measured: ValueError: no model"):
        assert measure_memory(AllocatingContender("lost", 1, 1), ["text"]) is None


def test_memory_says_of_which_kind_it_is(monkeypatch):
    assert measure(lambda: None).get("kind", "resident") == "resident"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5)
    assert PeakMemory(**measure(lambda: None)) == PeakMemory(5, 3, kind="device")
