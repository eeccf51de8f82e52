"""A contender's peak is its own: not the parent's, not that of loading."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_fakes import AllocatingContender, FakeContender

from tersely.bench import StockContender
from tersely.bench.memory import PeakMemory, measure, measure_memory
from tersely.errors import TerselyWarning

MEBIBYTE = 2**20

# What the system can do, not what the code says of it: a broken reset has to fail here.
needs_reset = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="only Linux lets a process forget its peak memory",
)


@pytest.fixture
def importable(monkeypatch):
    """Let the child import the fakes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


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
def test_the_parents_memory_and_that_of_loading_do_not_show(importable):
    ballast = np.ones(1024 * MEBIBYTE, dtype=np.uint8)
    contender = AllocatingContender("taker", held=64 * MEBIBYTE, taken=128 * MEBIBYTE)
    found = measure_memory(contender, ["some text, \ud800 ü"])
    assert found.peak_bytes < ballast.nbytes
    assert growth(found) == pytest.approx(128, abs=16)


def test_what_cannot_be_built_again_is_not_measured(model, tokenizer):
    assert measure_memory(FakeContender("fake"), ["text"]) is None
    assert measure_memory(StockContender(model, tokenizer), ["text"]) is None


def test_a_failing_process_is_reported_with_its_last_words(monkeypatch):
    died = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nValueError: no model")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: died)
    with pytest.warns(TerselyWarning, match="'lost' was not measured.*ValueError: no model"):
        assert measure_memory(AllocatingContender("lost", 1, 1), ["text"]) is None


def test_memory_says_of_which_kind_it_is(monkeypatch):
    assert measure(lambda: None).get("kind", "resident") == "resident"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5)
    assert PeakMemory(**measure(lambda: None)) == PeakMemory(5, 3, kind="device")
