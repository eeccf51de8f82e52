"""What goes where, and how a command ends: with one line, or, if nobody foresaw it, a traceback."""

import contextlib
import io
import json
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from tersely._io import Bar, usable_cores
from tersely.errors import TerselyError, TerselyWarning

DEBUG = "tersely.debug"  # where a click context keeps whether tracebacks are wanted

stdout = Console(highlight=False)
_stderr = Console(stderr=True, highlight=False)
_STYLES = {"error": "bold red", "warning": "yellow"}


def write_what_can_be_encoded() -> None:
    """Let the standard streams replace what their encoding lacks: cp1252 has "×" and no "≤"."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(message: str, kind: str | None = None) -> None:
    """Write a line to standard error; `kind` is None, `"warning"` or `"error"`."""
    line = Text("tersely: ")
    if kind is not None:
        line.append(f"{kind}: ", style=_STYLES[kind])
    with Bar.external_write_mode(file=sys.stderr):  # above the bar, if there is one
        # The terminal wraps long lines itself; a file gets one line a message.
        _stderr.print(line.append(message), soft_wrap=True)


def print_json(record: Any) -> None:
    """Write one line of JSON to standard output; what is not a number becomes null."""
    from tersely.text.write import without_nan

    # JSON has an escape for every character, so that none is lost where the stream lacks it.
    escape = not str(sys.stdout.encoding).lower().startswith("utf")
    sys.stdout.write(json.dumps(without_nan(record), ensure_ascii=escape, default=str) + "\n")
    sys.stdout.flush()


def command_line() -> str:
    """Return the command that is running, for a record; of absolute paths the last parts."""
    words = shlex.join(["tersely", *sys.argv[1:]])
    return re.sub(r"(?<=[\s'=])/(?:[^\s']*/)?(?=[^\s'])", "", words)


def count(number: int, noun: str) -> str:
    """Spell a number of things, such as `1,200 documents` or `1 document`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class _Lines(io.TextIOBase):
    """Where a bar is drawn if there is no terminal: each of its states is a message."""

    def write(self, text: str) -> int:
        if text.strip():
            say(text.strip())
        return len(text)


def progress(what: str = "", total: int | None = None) -> Bar:
    """Return a bar for standard error; a file gets a line every half minute."""
    lines: dict[str, Any] = {}
    if not sys.stderr.isatty():
        lines = dict.fromkeys(("delay", "mininterval", "maxinterval"), 30) | {"file": _Lines()}
        lines["bar_format"] = "{desc}: {n_fmt} of {total_fmt}, {remaining} left"
    return Bar(desc=what, total=total or 1, leave=False, **lines)  # None shows as 0it


def tell_load() -> None:
    """Say so where others keep the machine busy already: this is slow then, and figures too."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = usable_cores()
    if load > cores + 0.5:  # a mean of the last minute, our own start included
        say(
            f"{load:.1f} processes share the {count(cores, 'core')} of this machine, which slows "
            "all of them down; use fewer with --threads"
        )


@contextlib.contextmanager
def tell_warnings(command: Any, *, everything: bool) -> Iterator[None]:
    """Write tersely's warnings as messages, each once; other libraries' only if `everything`.

    `command` is the verb that runs, in whose options a message speaks.
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


# Also as safetensors and torch's archive writer say it, in exceptions of their own.
_FULL = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|PytorchStreamWriter failed|"
    r"os error (28|27|122)\b"
)


def _explain(error: BaseException) -> str | None:
    if isinstance(error, TerselyError):
        return " ".join(str(error).split())
    torch = sys.modules.get("torch")  # not imported for this: where it is not, it raised nothing
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "the device has too little memory; lower batch_tokens or max_length"
    if _FULL.search(str(error)):
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
        text = re.sub(rf"\b{parameter.name}='([\w-]+)'", rf"{parameter.opts[0]} \1", text)
    return text
