"""Who runs when, what the clock attributes to whom, and what the probe measures."""

import time

import numpy as np
import pytest
import torch
from bench_fakes import FakeContender, FakeProbe

from tersely.bench import MatrixProbe, take_turns


def prepared(names, log=None, clock=None, seconds=(1.0,), documents=4):
    contenders = [FakeContender(name, clock, seconds, log) for name in names]
    for contender in contenders:
        contender.prepare(["a b"] * documents)
    return contenders


@pytest.mark.parametrize(("names", "wanted"), [("ab", "abbaab"), ("abc", "abcbcacab")])
def test_each_round_begins_with_the_next_contender(names, wanted):
    log = []
    take_turns(prepared(names, log), rounds=3, warmup=0)
    assert "".join(log) == wanted


def test_probes_stand_around_every_turn_and_warm_up_before():
    log = []
    take_turns(prepared("ab", log), rounds=2, warmup=2, probe=FakeProbe(log=log))
    turns = ["probe", "a", "probe", "b", "probe", "probe", "b", "probe", "a", "probe"]
    assert log == ["a", "a", "b", "b", *turns]


def test_the_peak_of_a_turn_is_the_mean_of_what_is_measured_before_and_after():
    probe = FakeProbe()
    rates = iter([10.0, 20.0, 40.0, 2.0, 4.0, 6.0])
    probe.measure = lambda: next(rates)
    first, second = take_turns(prepared("ab", []), rounds=2, warmup=0, probe=probe)
    assert (first.peaks, second.peaks) == ([15.0, 5.0], [30.0, 3.0])


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


def test_the_heap_is_tidied_before_each_turn_but_not_between_documents(collections):
    take_turns(prepared("ab"), 3, 0, [0, 1, 2])
    assert len(collections) == 2 * 3


def test_progress_counts_turns():
    seen = []
    take_turns(prepared("ab"), 2, progress=lambda *step: seen.append(step))
    assert seen[0] == ("warm-up: a", 1, 2) and len(seen) == 2 + 4
    assert seen[-2:] == [("round 2: b", 3, 4), ("round 2: a", 4, 4)]


@pytest.mark.parametrize(("names", "rounds"), [("", 1), ("a", 0)])
def test_no_contender_or_no_round_is_refused(names, rounds):
    with pytest.raises(ValueError, match="at least one contender and one round"):
        take_turns(prepared(names), rounds)


def test_the_probe_keeps_the_best_rate(monkeypatch):
    probe = MatrixProbe(shapes=((2, 3, 4), (5, 5, 5)), repeats=2)
    # Products take 4, 2 and then 5, 10 seconds; a later, slower measurement changes nothing.
    ticks = iter([0, 4, 4, 6, 6, 11, 11, 21] + [0, 100] * 4)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert probe.measure() == 25.0
    assert probe.measure() == 1.25
    assert probe.peak == 25.0


def test_the_probe_leaves_the_random_state_alone():
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    MatrixProbe(shapes=((8, 8, 8),)).measure()
    assert torch.equal(torch.rand(1), wanted)
