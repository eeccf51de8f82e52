"""The command line in this process."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from laconic.cli import app


@pytest.fixture
def run():
    """Run the command line in this process: `run("predict", model, data)`."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})

    def invoke(*arguments: object):
        result = runner.invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
