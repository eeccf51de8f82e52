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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(own):
    command, environment = [sys.executable, "-c", _PROGRAM], os.environ | own
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    took, kept = done.stdout.split()
    if own:
        assert took == "False"
    else:
        assert took == "False" or int(kept) > 100  # of 160 MiB; not every libc has the setting
