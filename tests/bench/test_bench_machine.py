"""The machine's description gives away no name or path, and the probe's rates are rates."""

import json
import platform
import time

import torch

from tersely._io import _cpu_model
from tersely.bench import MatrixProbe, describe_machine


def test_the_probe_keeps_the_best_rate_of_each_shape(monkeypatch):
    probe = MatrixProbe(shapes=((2, 3, 4), (5, 5, 5)), repeats=2)
    # Products take 4, 2 and then 5, 10 seconds; a later, slower measurement changes nothing.
    ticks = iter([0, 4, 4, 6, 6, 11, 11, 21] + [0, 100] * 4)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert probe.measure() == 25.0
    assert probe.best == {(2, 3, 4): 12.0, (5, 5, 5): 25.0}
    assert probe.measure() == 1.25
    assert probe.peak == 25.0


def test_the_probe_leaves_the_random_state_alone():
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    MatrixProbe(shapes=((8, 8, 8),)).measure()
    assert torch.equal(torch.rand(1), wanted)


def test_the_description_is_plain_and_private(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("LD_PRELOAD", "")
    machine = describe_machine()
    text = json.dumps(machine)
    assert machine["threads"] == torch.get_num_threads()
    assert machine["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert machine["allocator"][-2:] == ["LD_PRELOAD", "MALLOC_ARENA_MAX"]
    assert not platform.node() or f'"{platform.node()}"' not in text
    assert machine["memory_bytes"] is None or machine["memory_bytes"] > 2**20


def test_the_processor_is_named_or_else_its_kind(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Abacus: 9000\n")
    assert _cpu_model(cpuinfo) == "Abacus: 9000"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert _cpu_model(cpuinfo) == _cpu_model(tmp_path / "absent") != ""
