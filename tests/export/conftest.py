"""The command line in this process."""

from __future__ import annotations

import pytest

from commands import run_command


@pytest.fixture
def run():
    """Run the command line in this process: `run("predict", model, data)`."""
    return run_command
