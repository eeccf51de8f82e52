"""Every exception and warning that tersely raises on purpose, in one place.

The command line prints an exception's message without a traceback and exits 1, so a message is
one sentence that says what was expected, what was got, and what to do.

    TerselyError
    ├── DataError           a file, a column, a label or a row that cannot be used
    ├── OutputError         an output that exists, cannot be written, or a full disk
    ├── PlanError           a reduction plan that is wrong, or that does not fit the model
    ├── ModelError          a checkpoint or a model directory that cannot be used
    ├── DeviceError         a device that is not there
    ├── TrainingError       a training run that cannot start or go on
    ├── ExportError         a model that cannot be exported, or an export that differs from it
    ├── ServeError          a server that cannot start
    ├── ScoringError        a scoring run that is not the one begun, or whose workers die
    └── MissingExtraError   an optional dependency that is not installed

    TerselyWarning          something was changed, ignored or left out; said once, with counts
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

__all__ = [
    "DataError",
    "DeviceError",
    "ExportError",
    "TerselyError",
    "TerselyWarning",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "PlanError",
    "ServeError",
    "ScoringError",
    "TrainingError",
    "close_match",
    "name_all",
    "name_rows",
    "require",
]


class TerselyError(Exception):
    """Base class of all errors that tersely raises on purpose."""


class DataError(TerselyError, ValueError):
    """A file, a column, a label or a row that cannot be used."""


class OutputError(TerselyError, OSError):
    """An output that exists already, cannot be written, or a disk that is full."""


class PlanError(TerselyError, ValueError):
    """A reduction plan that is wrong in itself, or that does not fit the model."""


class ModelError(TerselyError, ValueError):
    """A checkpoint or a model directory that cannot be used."""


class DeviceError(TerselyError, RuntimeError):
    """A device that is not there, or that cannot do what was asked."""


class TrainingError(TerselyError, RuntimeError):
    """A training run that cannot start, or that cannot go on."""


class ExportError(TerselyError, RuntimeError):
    """A model that cannot be exported, or an export that does not agree with it."""


class ServeError(TerselyError, RuntimeError):
    """A server that cannot start: a port that is taken, or limits that exclude each other."""


class ScoringError(TerselyError, RuntimeError):
    """A scoring run that is not the one that was begun, or whose workers die."""


class MissingExtraError(TerselyError, ImportError):
    """An optional dependency that is not installed; the message holds the command."""


class TerselyWarning(UserWarning):
    """Something was changed, ignored or left out; said once, with counts."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Args:
        module: the module's import name, for example `"sklearn.metrics"`.
        extra: the extra of tersely that installs it, for example `"train"`.

    Raises:
        MissingExtraError: if the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module.split('.')[0]} is needed for this and is not installed; run in the checkout "
            f"of tersely: pip install '.[{extra}]'"
        ) from error


def name_all(names: Iterable[object], *, limit: int = 20) -> str:
    """Quote names for a message, at most `limit` of them.

    Example:
        >>> name_all(["id", "text"])
        "'id', 'text'"
    """
    quoted = [repr(str(name)) for name in names]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")


def name_rows(indices: Sequence[int], *, limit: int = 5) -> str:
    """Spell row positions, which count from 0, as a reader counts them, from 1.

    Example:
        >>> name_rows([0, 4])
        '2 rows (1, 5)'
        >>> name_rows(range(9))
        '9 rows (first 1, 2, 3, 4, 5)'
    """
    shown = ", ".join(str(index + 1) for index in indices[:limit])
    noun = "row" if len(indices) == 1 else "rows"
    return f"{len(indices)} {noun} ({'first ' if len(indices) > limit else ''}{shown})"


def close_match(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'text'?"` where a known name is close, and nothing otherwise."""
    spelled = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)
    return f"; did you mean {spelled[match[0]]!r}?" if match else ""
