"""Every exception and warning that tersely raises on purpose, in one place.

The command line prints an exception's message without a traceback and exits 1, so a message is
one sentence that says what was expected, what was got, and what to do.
"""

import difflib
import importlib
import warnings
from collections.abc import Iterable, Sequence
from types import ModuleType


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


def warn(text: str, stacklevel: int = 2) -> None:
    """Warn of something; `stacklevel` counts from the caller, as of `warnings.warn`."""
    warnings.warn(text, TerselyWarning, stacklevel=stacklevel + 1)


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise MissingExtraError with the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module.split('.')[0]} is needed for this and is not installed; run in the checkout "
            f"of tersely: pip install '.[{extra}]'"
        ) from error


def name_all(names: Iterable[object], *, limit: int = 20) -> str:
    """Quote names for a message, at most `limit` of them: `'id', 'text' and 3 more`."""
    quoted = [repr(str(name)) for name in names]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")


def name_rows(indices: Sequence[int], *, limit: int = 5) -> str:
    """Spell row positions, which count from 0, from 1: `[0, 4]` is `2 rows (1, 5)`."""
    shown = ", ".join(str(index + 1) for index in indices[:limit])
    noun = "row" if len(indices) == 1 else "rows"
    return f"{len(indices)} {noun} ({'first ' if len(indices) > limit else ''}{shown})"


def close_match(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'text'?"` where a known name is close, and nothing otherwise."""
    spelled = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.65)
    return f"; did you mean {spelled[match[0]]!r}?" if match else ""
