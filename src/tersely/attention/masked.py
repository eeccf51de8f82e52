"""Packed attention as one dense product under a block-diagonal mask.

Quadratic in the tokens of the whole row, so slow for rows of many documents, but it has no loop
over them: an obvious second opinion for the other back ends, and, on a row of one document, which
needs no mask, the one that exports.
"""

from __future__ import annotations

import functools
import operator

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.attention.packing import Packing
from tersely.attention.scores import column_scores, column_weights, masked_softmax

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
    logits = (q * scaling) @ k.transpose(1, 2)
    if mask is None:
        weights = logits.softmax(-1)
    elif packing.layout.symbolic and window is None and packing.connections is None:
        # Each head has a key left, so every query sees one. Adding is what runtimes do fastest:
        # choosing took a fifth of a document's time in ONNX Runtime (2026-11-22).
        hidden = torch.zeros_like(mask, dtype=logits.dtype)
        weights = (logits + hidden.masked_fill(~mask, torch.finfo(logits.dtype).min)).softmax(-1)
    else:
        weights = masked_softmax(logits, mask)
    scores = None
    if packing.scores is not None:
        rows = column_weights(packing.layout, packing.scores)
        scores = column_scores(weights[None], rows[None], packing.scores)[0].t()  # (keys, heads)
    if dropout:
        weights = F.dropout(weights, dropout)
    return (weights @ v).transpose(0, 1), scores


def _block_diagonal(packing: Packing, window: int | None) -> Tensor | None:
    """`(1 or heads, 1 or tokens, keys)` bool: the same document, in the window, a filled place.

    None where every query sees every key.
    """
    parts = []
    if len(packing.layout) > 1:
        parts.append(
            (packing.layout.segment_ids[:, None] == packing.key_layout.segment_ids[None, :])[None]
        )
    if packing.keys is not None and packing.keys.filled is not None:
        parts.append(packing.keys.filled.transpose(0, 1)[:, None, :])
    if window is not None or packing.connections is not None:
        rows = torch.arange(packing.layout.tokens, device=packing.layout.device)
        parts.append(packing.seen(rows[None], packing.key_rows()[None], window)[0])
    return functools.reduce(operator.and_, parts) if parts else None
