"""The command line, run in this process: what it prints where, and how it ends."""

from typer.testing import CliRunner

from tersely.cli import app


def run_command(*arguments: object, stdin: str | bytes | None = None):
    """Run it as from a terminal: `run_command("predict", model, data)`."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    result = runner.invoke(app, [str(argument) for argument in arguments], input=stdin)
    # An exception that the command line did not mean to end with is a bug, not a result.
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
