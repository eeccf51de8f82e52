"""What an exception means to a user, for those that are not a bug.

tersely's own errors say it themselves. A full disk and a full device are reported by the libraries
below, each in its own words.
"""

from __future__ import annotations

import errno
import re

import torch

from tersely.errors import TerselyError

__all__ = ["explain"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# safetensors and torch's archive writer raise exceptions of their own, without a number.
_FULL_TEXT = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|PytorchStreamWriter failed|"
    r"os error (28|27|122)\b"
)


def explain(error: BaseException) -> str | None:
    """Say in one line what went wrong; None for what only a traceback explains.

    Example:
        >>> explain(OSError(28, "No space left on device"))
        'the disk is full (No space left on device); free some space and run this again'
        >>> explain(KeyError("a bug")) is None
        True
    """
    if isinstance(error, TerselyError):
        return " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        return "the device has too little memory; lower --batch-tokens or --max-length"
    full = isinstance(error, OSError) and error.errno in _FULL
    if full or _FULL_TEXT.search(str(error)):
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        return f"the disk is full ({reason}); free some space and run this again"
    return None
