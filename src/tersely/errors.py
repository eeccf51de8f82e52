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

import importlib
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
            f"{module.split('.')[0]} is needed for this and is not installed; "
            f"run: pip install 'tersely[{extra}]'"
        ) from error
