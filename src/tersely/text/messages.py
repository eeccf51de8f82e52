"""How rows and names are spelled in messages, so that every error of this room reads alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["close_match", "name_all", "name_rows"]

_SHOWN = 5


def name_all(names: Iterable[object], *, limit: int = 20) -> str:
    """Quote names for a message, at most `limit` of them.

    Example:
        >>> name_all(["id", "text"])
        "'id', 'text'"
    """
    quoted = [repr(str(name)) for name in names]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")


def name_rows(indices: Sequence[int]) -> str:
    """Spell row positions, which count from 0, as a reader counts them, from 1.

    Example:
        >>> name_rows([0, 4])
        '2 rows (1, 5)'
        >>> name_rows(range(9))
        '9 rows (first 1, 2, 3, 4, 5)'
    """
    shown = ", ".join(str(index + 1) for index in indices[:_SHOWN])
    noun = "row" if len(indices) == 1 else "rows"
    return f"{len(indices)} {noun} ({'first ' if len(indices) > _SHOWN else ''}{shown})"


def close_match(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'text'?"` where a known name is close, and nothing otherwise."""
    spelled = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)
    return f"; did you mean {spelled[match[0]]!r}?" if match else ""
