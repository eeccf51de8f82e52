"""The command line, run in this process: what it prints where, how it ends; documents for it."""

import csv
from collections.abc import Sequence
from pathlib import Path

from typer.testing import CliRunner

from tersely.cli import app

# One word decides the label.
WORDS = "good fine great bad poor awful film book it was a very".split()
_TELLING = [("good", "pos"), ("bad", "neg"), ("great", "pos"), ("awful", "neg")]


def run_command(*arguments: object, stdin: str | bytes | None = None):
    """Run it as from a terminal: `run_command("predict", model, data)`."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    result = runner.invoke(app, [str(argument) for argument in arguments], input=stdin)
    # An exception that the command line did not mean to end with is a bug, not a result.
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def check_refusal(result, code: int, fragment: str) -> None:
    """It ended with the code and one line that holds the fragment, and not with a traceback."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr
    # Boxes wrap their text, so the words are compared without the frame.
    assert fragment in " ".join(result.stderr.replace("│", " ").split())
    if code == 1:
        lines = result.stderr.splitlines()
        assert [line for line in lines if ": error: " in line] == lines[-1:]
        assert lines[-1].startswith("tersely: error: ")


def rows(count: int) -> list[tuple[str, str]]:
    """Texts with their labels, of 6 to 12 words."""
    return [
        (f"it was a very {word} film" + " film" * (number % 7), label)
        for number in range(count)
        for word, label in [_TELLING[number % 4]]
    ]


def write_csv(path: Path, lines: Sequence[Sequence[str]], header=("text", "label")) -> Path:
    """Write rows under a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    return path
