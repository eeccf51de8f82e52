"""Figures in the README and in the generated tables of docs are what the committed JSON says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_generated_figures_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "make_results.py"), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
