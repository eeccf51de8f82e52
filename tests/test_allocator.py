"""Freed memory stays with the process where glibc can be told so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
from tersely._io import keep_freed_memory
took = keep_freed_memory()
def resident():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
before = resident()
blocks = [bytearray(b"x" * (8 << 20)) for _ in range(20)]
blocks.clear()
print(took, resident() - before)
"""


def run(**environment: str) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    took, kept = done.stdout.split()
    return took == "True", int(kept)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_kept():
    took, kept = run()
    assert not took or kept > 100  # of 160 MiB; a libc without the setting says so


def test_the_environments_own_settings_are_left_alone():
    assert run(MALLOC_TRIM_THRESHOLD_="131072")[0] is False
