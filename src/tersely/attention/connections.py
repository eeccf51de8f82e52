"""Which tokens of a document may see one another, where a plan or an encoder thins the attention.

Two descriptions of the same thing: a function of pairs of tokens, which every back end can turn
into a mask, and a band around the diagonal, from which a back end may know which pairs it need not
compute at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Band", "Connections", "seen_pairs", "window_mask"]

Sees = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Band:
    """A band around the diagonal that holds all of a pattern.

    Attributes:
        reaches: for each document the largest distance of two original positions that are
            connected, unless one of them is global.
        first: how many of a document's first positions may be connected to all.
        exact: whether the band and the first positions are the pattern, for all heads alike.
    """

    reaches: list[int]
    first: int = 0
    exact: bool = False


@dataclass(frozen=True)
class Connections:
    """Who sees whom in one block.

    Attributes:
        sees: of row numbers `(documents, 1, queries, 1)` and `(documents, heads or 1, 1, keys)` the
            pairs that are connected, `(documents, heads or 1, queries, keys)` bool. It is asked
            about pairs of one document; what it says of others is not used.
        band: the band that holds them, None where they may lie anywhere.
        name: what to call the pattern in messages.
        logs: likewise the logarithms of weights of pairs, −inf where a pair is not connected, while
            a pattern is being learned; None where a pair is connected or not.
    """

    sees: Sees
    band: Band | None = None
    name: str = "a pattern"
    logs: Sees | None = None


def seen_pairs(
    queries: Tensor,
    keys: Tensor,
    places: Tensor | None,
    window: int | None,
    connections: Connections | None,
) -> Tensor | None:
    """The pairs that a window and connections leave, `(documents, heads or 1, queries, keys)`.

    Args:
        queries: row numbers `(documents, queries)`; −1 for padding.
        keys: row numbers `(documents, keys, heads or 1)`; −1 for padding.
        places: `(tokens,)` positions that a window is measured on, −1 for a global token.
        window: a key is seen at a distance below this; None for all.
        connections: the pattern; None for all.

    Returns:
        bool, with padded queries taken as seeing all that they might; None for all pairs.
    """
    seen = None
    if window is not None:
        q, k = _at(places, queries), _at(places, keys)
        seen = window_mask(q, k, window)
    if connections is not None:
        rows = queries.clamp(min=0)[:, None, :, None]
        columns = keys.clamp(min=0).permute(0, 2, 1)[:, :, None, :]
        pattern = connections.sees(rows, columns)
        # A graph that is exported cannot branch on numbers, and its row is never padded.
        if not torch.compiler.is_exporting() and bool((queries < 0).any()):
            # No row of a softmax is empty.
            pattern = pattern | (queries < 0)[:, None, :, None]
        seen = pattern if seen is None else seen & pattern
    return seen


def _at(places: Tensor, rows: Tensor) -> Tensor:
    return torch.where(rows < 0, -1, places[rows.clamp(min=0)])


def window_mask(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Which keys lie within a window of original positions.

    Args:
        queries: `(documents, queries)` positions, −1 for a global token.
        keys: `(documents, keys, 1 or heads)` positions, −1 for a global token.
        window: a key is seen at a distance below this.

    Returns:
        `(documents, 1 or heads, queries, keys)` bool.
    """
    q = queries[:, None, :, None]
    k = keys.permute(0, 2, 1)[:, :, None, :]
    return ((q - k).abs() < window) | (q < 0) | (k < 0)
