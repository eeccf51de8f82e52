"""What goes where: messages, warnings and progress to standard error, data to standard output."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tersely.errors import TerselyWarning
from tersely.text.write import without_nan

__all__ = [
    "DEBUG",
    "command_line",
    "count",
    "print_json",
    "print_table",
    "progress_bar",
    "quiet_libraries",
    "rate_bar",
    "say",
    "stage_bar",
    "stdout_console",
    "tell_warnings",
]

DEBUG = "tersely.debug"
"""Where a click context keeps whether tracebacks are wanted."""

_STYLES = {"error": "bold red", "warning": "yellow"}
_stderr = Console(stderr=True, highlight=False)
_stdout = Console(highlight=False)


def say(message: str, kind: str | None = None) -> None:
    """Write a line to standard error; `kind` is None, `"warning"` or `"error"`."""
    line = Text("tersely: ")
    if kind is not None:
        line.append(f"{kind}: ", style=_STYLES[kind])
    # The terminal wraps long lines itself; a file gets one line a message.
    _stderr.print(line.append(message), soft_wrap=True)


def print_json(record: Any) -> None:
    """Write one line of JSON to standard output; what is not a number becomes null."""
    sys.stdout.write(json.dumps(without_nan(record), ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_table(table: RenderableType) -> None:
    """Write a table to standard output."""
    _stdout.print(table)


def stdout_console() -> Console:
    """The console of standard output, for what depends on its width and colours."""
    return _stdout


def command_line() -> str:
    """The command that is running, for the record of what it measured."""
    return shlex.join(["tersely", *sys.argv[1:]])


def count(number: int, noun: str) -> str:
    """Spell a number of things.

    Example:
        >>> count(1200, "document"), count(1, "document")
        ('1,200 documents', '1 document')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _columns() -> tuple[ProgressColumn, ...]:
    # Names of files and contenders are no markup: `module:[Class]` is shown as it is.
    return TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on standard error while the block runs, if that is a terminal.

    Yields:
        A function to call with how many more things are done.
    """
    with Progress(
        *_columns(),
        TimeRemainingColumn(),
        console=_stderr,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


@contextlib.contextmanager
def rate_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Draw a bar on a terminal whose speed and time left are told by whoever does the work.

    Yields:
        A function to call with how much is done, of how much, and what stands behind the bar.
    """
    with Progress(
        *_columns(), TextColumn("{task.fields[note]}"), console=_stderr, transient=True
    ) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


@contextlib.contextmanager
def stage_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar that goes through several stages, if standard error is a terminal.

    Yields:
        A function to call with the stage, how many of its steps are done, and how many it has.
    """
    hidden = not sys.stderr.isatty()
    with Progress(*_columns(), console=_stderr, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)
        yield lambda stage, done, total: bar.update(
            task, description=stage, completed=done, total=total
        )


@contextlib.contextmanager
def tell_warnings(*, everything: bool) -> Iterator[None]:
    """Write tersely's warnings as messages, each once; other libraries' only if `everything`."""
    told: set[str] = set()

    def tell(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in told:
            told.add(text)
            say(
                text if issubclass(category, TerselyWarning) else f"{category.__name__}: {text}",
                "warning",
            )

    with warnings.catch_warnings():
        warnings.simplefilter("always" if everything else "ignore")
        warnings.simplefilter("always", TerselyWarning)
        warnings.showwarning = tell
        yield


def quiet_libraries() -> None:
    """Keep transformers, the Hub's client and datasets from writing on the user's screen."""
    from huggingface_hub.utils import enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    if sys.stderr.isatty():
        # A download of minutes is worth a bar, unlike the loading of a file.
        enable_progress_bars()
    else:
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
