"""Packed attention as one dense product under a block-diagonal mask.

Quadratic in the tokens of the whole row, so slow for long rows, but it has no loop over documents:
it is the back end that exports, and an obvious second opinion for the others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from laconic.attention.packing import Packing
from laconic.attention.scores import column_scores, column_weights, masked_softmax

__all__ = ["attend"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    *,
    scaling: float,
    dropout: float = 0.0,
    window: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention of each document over its own keys; arguments and returns as `loop.attend`."""
    mask = _block_diagonal(packing, window)
    q, k, v = (tensor.transpose(0, 1) for tensor in (query, key, value))  # (heads, tokens, size)
    weights = masked_softmax((q * scaling) @ k.transpose(1, 2), mask)
    scores = None
    if packing.scores is not None:
        rows = column_weights(packing.layout, packing.scores)
        scores = column_scores(weights[None], rows[None], packing.scores)[0].t()  # (keys, heads)
    if dropout:
        weights = F.dropout(weights, dropout)
    return (weights @ v).transpose(0, 1), scores


def _block_diagonal(packing: Packing, window: int | None) -> Tensor:
    """`(1 or heads, tokens, keys)` bool: the same document, in the window, and a filled place."""
    mask = (packing.layout.owners[:, None] == packing.key_layout.owners[None, :])[None]
    if packing.keys is not None and packing.keys.filled is not None:
        mask = mask & packing.keys.filled.transpose(0, 1)[:, None, :]
    rows = torch.arange(packing.layout.tokens, device=mask.device)
    seen = packing.seen(rows[None], packing.key_rows()[None], window)
    return mask if seen is None else mask & seen[0]
