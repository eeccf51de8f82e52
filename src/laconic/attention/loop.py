"""Packed attention on the CPU: a plain loop over runs of documents with equal lengths.

On CPUs a loop of `scaled_dot_product_attention` over the documents beats masks, FlexAttention and
nested tensors, and neighbours of equal length go in one call, as a view: so it pays to sort a batch
by length. Scores need the explicit matrix; it is made in pieces that stay in the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from laconic.attention.packing import Packing, ScoreRequest
from laconic.attention.scores import column_weights, explicit_attention, window_mask

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
        `(tokens, heads, size)`, and the scores `(keys, heads)` or `(keys, 1)` if any are wanted.
    """
    pieces = _pieces(packing)
    weights = None if packing.scores is None else column_weights(packing.layout, packing.scores)
    queries = query.split([count * length for count, length, _ in pieces])
    sizes = [count * keys for count, _, keys in pieces]
    keys, values = key.split(sizes), value.split(sizes)
    outputs: list[Tensor] = []
    scores: list[Tensor] = []
    token = place = 0
    for number, (count, length, key_length) in enumerate(pieces):
        # (count, heads, length, size): views, since neighbours of equal length form a rectangle.
        q = queries[number].unflatten(0, (count, length)).transpose(1, 2)
        k = keys[number].unflatten(0, (count, key_length)).transpose(1, 2)
        v = values[number].unflatten(0, (count, key_length)).transpose(1, 2)
        q_part, k_part = slice(token, token + count * length), slice(place, place + sizes[number])
        mask = _mask(packing, q_part, k_part, (count, length, key_length), window)
        if weights is None:
            context = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling
            )
        else:
            rows = weights[q_part].view(count, length)
            context, score = explicit_attention(q, k, v, mask, rows, scaling, dropout)
            scores.append(_per_key(score, packing.scores))
        outputs.append(context.transpose(1, 2).flatten(0, 1))
        token, place = q_part.stop, k_part.stop
    return torch.cat(outputs), torch.cat(scores) if scores else None


def _per_key(score: Tensor, request: ScoreRequest) -> Tensor:
    """`(documents, heads, keys)` to `(documents · keys, heads)` or `(…, 1)`."""
    score = score if request.per_head else score.mean(1, keepdim=True)
    return score.transpose(1, 2).flatten(0, 1)


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
    if window is not None:
        q_places = packing.places()[queries].view(count, length)
        k_places = packing.key_places()[keys].unflatten(0, (count, key_length))
        seen = window_mask(q_places, k_places, window)
        mask = seen if mask is None else mask & seen
    return mask
