"""What goes where, and how a command ends.

Data goes to standard output; messages, warnings and progress go to standard error. tersely's own
errors are one line and exit code 1, an interruption is exit code 130, and what nobody foresaw is a
traceback.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from tersely.errors import TerselyError, TerselyWarning

DEBUG = "tersely.debug"
"""Where a click context keeps whether tracebacks are wanted."""

_STYLES = {"error": "bold red", "warning": "yellow"}
_SECONDS_BETWEEN_LINES = 30
_stderr = Console(stderr=True, highlight=False)
_stdout = Console(highlight=False)


# ---- what is written ----------------------------------------------------------------------------


def write_what_can_be_encoded() -> None:
    """Let the standard streams replace what their encoding lacks.

    A result is worth more than its dashes: without this, a terminal in cp1252 would end an hour's
    comparison with an exception at the first "×".
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(message: str, kind: str | None = None) -> None:
    """Write a line to standard error; `kind` is None, `"warning"` or `"error"`."""
    line = Text("tersely: ")
    if kind is not None:
        line.append(f"{kind}: ", style=_STYLES[kind])
    # The terminal wraps long lines itself; a file gets one line a message.
    _stderr.print(line.append(message), soft_wrap=True)


def print_json(record: Any) -> None:
    """Write one line of JSON to standard output; what is not a number becomes null."""
    from tersely.text.write import without_nan

    # JSON has an escape for every character, so that none is lost where the stream lacks it.
    escape = not str(sys.stdout.encoding).lower().startswith("utf")
    sys.stdout.write(json.dumps(without_nan(record), ensure_ascii=escape, default=str) + "\n")
    sys.stdout.flush()


def print_table(table: RenderableType) -> None:
    """Write a table to standard output."""
    _stdout.print(table)


def stdout_console() -> Console:
    """Return the console of standard output, for what depends on its width and colours."""
    return _stdout


def plain_table(*columns: str, numbers: int = 0, **options: Any) -> Table:
    """Return a table without lines; its last columns, so many, are aligned as `numbers`."""
    options = {"box": None, "header_style": "bold", "padding": (0, 2, 0, 0)} | options
    table = Table(**options)
    for place, name in enumerate(columns):
        right = place >= len(columns) - numbers
        table.add_column(name, justify="right" if right else "left")
    return table


def command_line() -> str:
    """Return the command that is running, for the record of what it measured."""
    return shlex.join(["tersely", *sys.argv[1:]])


def count(number: int, noun: str) -> str:
    """Spell a number of things.

    Example:
        >>> count(1200, "document"), count(1, "document")
        ('1,200 documents', '1 document')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class _Reporter:
    """How far something is: a bar on a terminal, and elsewhere a line every half minute."""

    def __init__(self, bar: Progress | None, what: str, total: int | None) -> None:
        self.bar, self.what, self.total, self.done = bar, what, total, 0
        self.task = None if bar is None else bar.add_task(what, total=total, note="")
        self.told = time.monotonic()

    def advance(self, more: int) -> None:
        """Say that so many more are done."""
        self.update(self.what, self.done + more, self.total)

    def update(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Say what is being done, how much of how much is, and what else there is to say."""
        self.what, self.done, self.total = what, done, total
        if self.bar is not None:
            self.bar.update(self.task, description=what, completed=done, total=total, note=note)
        elif time.monotonic() - self.told >= _SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            of = "" if total is None else f" of {total:,}"
            say(f"{what}: {done:,}{of}" + (f", {note}" if note else ""))


@contextlib.contextmanager
def progress(what: str = "", total: int | None = None) -> Iterator[_Reporter]:
    """Report on standard error how far the work of the block is."""
    if not sys.stderr.isatty():
        yield _Reporter(None, what, total)
        return
    # Names of files and contenders are no markup: `module:[Class]` is shown as it is.
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns, TextColumn("{task.fields[note]}"), console=_stderr, transient=True
    ) as bar:
        yield _Reporter(bar, what, total)


# ---- warnings, and what ends a command -----------------------------------------------------------


@contextlib.contextmanager
def tell_warnings(command: Any, *, everything: bool) -> Iterator[None]:
    """Write tersely's warnings as messages, each once; other libraries' only if `everything`.

    Args:
        command: the verb that runs, in whose options a message speaks.
        everything: whether to tell what other libraries warn of as well.
    """
    told: set[str] = set()

    def tell(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in told:
            told.add(text)
            own = issubclass(category, TerselyWarning)
            say(_in_options(text, command) if own else f"{category.__name__}: {text}", "warning")

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


class TerselyGroup(TyperGroup):
    """The verbs, with tersely's way of ending."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a verb; what is not tersely's own error and not the machine's fault is a bug."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        # Every exception: libraries report a full disk by exceptions of all kinds. Whatever has no
        # explanation is raised again, as it is.
        except Exception as error:
            explanation = _explain(error)
            if explanation is None or ctx.meta.get(DEBUG):
                raise
            command = self.commands.get(ctx.invoked_subcommand or "")
            say(_in_options(explanation, command), "error")
            raise typer.Exit(1) from None


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# safetensors and torch's archive writer raise exceptions of their own, without a number.
_FULL_TEXT = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|PytorchStreamWriter failed|"
    r"os error (28|27|122)\b"
)


def _explain(error: BaseException) -> str | None:
    """Say in one line what went wrong; None for what only a traceback explains.

    tersely's own errors say it themselves. A full disk and a full device are reported by the
    libraries below, each in its own words.

    Example:
        >>> _explain(OSError(28, "No space left on device"))
        'the disk is full (No space left on device); free some space and run this again'
        >>> _explain(KeyError("a bug")) is None
        True
    """
    if isinstance(error, TerselyError):
        return " ".join(str(error).split())
    torch = sys.modules.get("torch")  # not imported for this: where it is not, it raised nothing
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "the device has too little memory; lower batch_tokens or max_length"
    full = isinstance(error, OSError) and error.errno in _FULL
    if full or _FULL_TEXT.search(str(error)):
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        return f"the disk is full ({reason}); free some space and run this again"
    return None


def _in_options(text: str, command: Any) -> str:
    """Return a message of the library with its arguments spelled as the verb's options.

    The library knows no command line: it says `text_column`, and here that is `--text-column`.
    """
    text = text.replace("or overwrite it", "or allow it with --overwrite")
    for parameter in getattr(command, "params", ()):
        if parameter.name and "_" in parameter.name and parameter.opts[0].startswith("--"):
            # Not in quotes or paths: there it is a name of the user's.
            text = re.sub(rf"(?<![\w.'\"/-]){parameter.name}\b(?!['\"])", parameter.opts[0], text)
    return text
