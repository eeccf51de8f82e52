"""Packed attention on the CPU: a plain loop over runs of documents with equal lengths.

On CPUs a loop over the documents beats masks, FlexAttention and nested tensors, and neighbours of
equal length go in one call, as a view: so it pays to sort a batch by length. With gradients each
run is one `scaled_dot_product_attention`, which keeps no matrix, or an explicit one where scores
are wanted; without, the matrix is made in one buffer (see `inplace`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from laconic.attention.inplace import Workspace
from laconic.attention.packing import Packing
from laconic.attention.scores import column_weights, explicit_attention

__all__ = ["attend"]

_EXACT = (torch.float32, torch.float64)


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
    """Attention of each document over its own keys.

    Args:
        query: `(tokens, heads, size)`.
        key: `(keys, heads, size)`, the keys that are left, document by document.
        value: `(keys, heads, size)`.
        packing: the documents, the key set and the scores wanted.
        scaling: factor on the dot products.
        dropout: probability of dropping an attention weight.
        window: a query sees the keys at a distance below `window`; None for all.

    Returns:
        `(tokens, heads, size)`, and the scores of each head, `(keys, heads)`, if any are wanted.
    """
    weights = None if packing.scores is None else column_weights(packing.layout, packing.scores)
    # Nothing to keep for a backward pass, and a type whose sums need no wider one.
    in_place = not torch.is_grad_enabled() and not dropout and query.dtype in _EXACT
    context = torch.empty_like(query, memory_format=torch.contiguous_format) if in_place else None
    workspace = Workspace(query.dtype) if in_place else None
    outputs: list[Tensor] = []
    scores: list[Tensor] = []
    for q, k, v, mask, part in _rectangles(query, key, value, packing, window):
        rows = None if weights is None else weights[part].view(q.shape[0], -1)
        score = None
        if workspace is not None:
            out = context[part].unflatten(0, (q.shape[0], -1)).transpose(1, 2)
            score = workspace.attend(q, k, v, mask, rows, packing.scores, scaling, out)
        elif rows is not None:
            out, score = explicit_attention(q, k, v, mask, rows, packing.scores, scaling, dropout)
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling
            )
        outputs.append(out.transpose(1, 2).flatten(0, 1))
        if score is not None:
            scores.append(score.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs) if context is None else context, torch.cat(scores) if scores else None


def _rectangles(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, window: int | None
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None, slice]]:
    """Each run's queries, keys, values, mask, and its place among the queries.

    The states are views `(documents, heads, length, size)`, since neighbours of equal length form a
    rectangle of the row.
    """
    pieces = _pieces(packing)
    sizes = [count * keys for count, _, keys in pieces]
    queries = query.split([count * length for count, length, _ in pieces])
    parts = zip(pieces, queries, key.split(sizes), value.split(sizes), strict=True)
    token = place = 0
    for (count, length, keys), own_query, own_key, own_value in parts:
        q_part = slice(token, token + count * length)
        k_part = slice(place, place + count * keys)
        mask = _mask(packing, q_part, k_part, (count, length, keys), window)
        q = own_query.unflatten(0, (count, length)).transpose(1, 2)
        k = own_key.unflatten(0, (count, keys)).transpose(1, 2)
        v = own_value.unflatten(0, (count, keys)).transpose(1, 2)
        yield q, k, v, mask, q_part
        token, place = q_part.stop, k_part.stop


def _pieces(packing: Packing) -> list[tuple[int, int, int]]:
    """Runs of documents that agree in queries and in keys: (documents, queries, keys) of each."""
    pieces: list[tuple[int, int, int]] = []
    pairs = zip(packing.layout.sizes, packing.key_layout.sizes, strict=True)
    for length, keys in pairs:
        if pieces and pieces[-1][1:] == (length, keys):
            pieces[-1] = (pieces[-1][0] + 1, length, keys)
        elif length:
            pieces.append((1, length, keys))
    return pieces


def _mask(
    packing: Packing,
    queries: slice,
    keys: slice,
    shape: tuple[int, int, int],
    window: int | None,
) -> Tensor | None:
    """What a run's queries may see, `(documents, 1 or heads, queries, keys)` bool; None for all."""
    count, length, key_length = shape
    mask = None
    if packing.keys is not None and packing.keys.filled is not None:
        filled = packing.keys.filled[keys].unflatten(0, (count, key_length))
        mask = filled.transpose(1, 2)[:, :, None, :]
        if bool(mask.all()):
            mask = None
    if window is not None or packing.connections is not None:
        rows = torch.arange(queries.start, queries.stop, device=packing.layout.device)
        k_rows = packing.key_rows()[keys].unflatten(0, (count, key_length))
        seen = packing.seen(rows.view(count, length), k_rows, window)
        mask = seen if mask is None else mask & seen
    return mask
