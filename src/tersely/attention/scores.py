"""Attention with its explicit matrix, for the importance scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.attention.packing import ScoreRequest
from tersely.ragged import Layout, Ragged

__all__ = [
    "column_scores",
    "column_weights",
    "explicit_attention",
    "join_scores",
    "masked_softmax",
]

# Entries of the attention matrix that are made at a time: 1 Mi floats (4 MiB) stay in the cache of
# a server core. One matrix for 16 documents of 512 tokens and 12 heads would take 192 MiB.
_PIECE = 1 << 20


def column_weights(layout: Layout, request: ScoreRequest) -> Tensor:
    """How much each query row counts in its document's score, `(tokens,)`, summing to 1 in each."""
    places = layout.positions
    if request.kind == "first":
        return (places == 0).float()
    counted = torch.ones_like(places, dtype=torch.bool)
    if request.kind == "sample":
        # Evenly spaced rows: row r·n/k of n, for r < k; each counts once.
        lengths = layout.lengths[layout.segment_ids]
        rows = torch.clamp(lengths, max=request.rows)
        counted = (places * rows) // lengths != ((places - 1) * rows) // lengths
    if request.counted is not None:
        counted = counted & request.counted
    weights = counted.float()
    totals = Ragged(weights, layout).sum().clamp(min=1)
    return weights / totals[layout.segment_ids]


def column_scores(weights: Tensor, rows: Tensor, request: ScoreRequest, first: int = 0) -> Tensor:
    """The scores of the keys from some rows of the attention matrix.

    Args:
        weights: `(documents, heads, queries, keys)`.
        rows: `(documents, queries)`, how much each query counts; 0 for not at all.
        request: which scores.
        first: the place of the first of these queries in its document.

    Returns:
        `(documents, heads, keys)`, float32 at least: in half precision, most tokens of a long
        document would share their score with others. Those of other rows are joined by
        `join_scores`.
    """
    exact = torch.promote_types(weights.dtype, torch.float32)
    weights, rows = weights.to(exact), rows.to(exact)
    if request.kind == "max":
        counted = (rows > 0)[:, None, :, None]
        if not request.diagonal:
            queries, keys = weights.shape[2:]
            other = torch.ones(queries, keys, dtype=torch.bool, device=weights.device)
            other.diagonal(first).fill_(False)
            counted = counted & other
        return (weights * counted).amax(2)
    # (documents, 1, 1, queries) @ (documents, heads, queries, keys)
    score = _product(rows[:, None, None, :], weights)[:, :, 0]
    if request.diagonal:
        return score
    own = weights.diagonal(first, 2, 3)  # (documents, heads, queries that are keys)
    before, after = first, score.shape[2] - first - own.shape[2]
    return score - F.pad(own * rows[:, None, : own.shape[2]], (before, after))


def _product(one: Tensor, other: Tensor) -> Tensor:
    """A matrix product in the precision of its factors, under autocast too."""
    device = one.device.type
    # Not where there is nothing to turn off: exporters stumble over it.
    if not torch.is_autocast_enabled(device):
        return one @ other
    with torch.autocast(device, enabled=False):
        return one @ other


def join_scores(one: Tensor | None, other: Tensor, request: ScoreRequest) -> Tensor:
    """Scores of more rows of the same matrix."""
    if one is None:
        return other
    return torch.maximum(one, other) if request.kind == "max" else one + other


def explicit_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    rows: Tensor,
    request: ScoreRequest,
    scaling: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Attention and the scores of its keys, in pieces over documents and queries.

    Args:
        query: `(documents, heads, queries, size)`.
        key: `(documents, heads, keys, size)`.
        value: `(documents, heads, keys, size)`.
        mask: broadcastable to `(documents, heads, queries, keys)` bool, True where a query may see.
        rows: `(documents, queries)`, the weight of each query in the scores.
        request: which scores.
        scaling: factor on the dot products.
        dropout: probability of dropping an attention weight; scores are taken before it.

    Returns:
        `(documents, heads, queries, size)` and `(documents, heads, keys)`.
    """
    documents, heads, queries, _ = query.shape
    per_document = heads * queries * key.shape[2]
    together = max(1, _PIECE // max(1, per_document))
    if together >= documents and per_document <= _PIECE:
        return _explicit(query, key, value, mask, rows, request, scaling, dropout)
    contexts, scores = [], []
    for start in range(0, documents, together):
        part = slice(start, start + together)
        seen = mask[part] if mask is not None and mask.shape[0] > 1 else mask
        context, score = _explicit_rows(
            query[part], key[part], value[part], seen, rows[part], request, scaling, dropout
        )
        contexts.append(context)
        scores.append(score)
    return torch.cat(contexts), torch.cat(scores)


def _explicit_rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    rows: Tensor,
    request: ScoreRequest,
    scaling: float,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    documents, heads, queries, _ = query.shape
    step = max(32, _PIECE // (documents * heads * key.shape[2]))
    if step >= queries:
        return _explicit(query, key, value, mask, rows, request, scaling, dropout)
    contexts, total = [], None
    for start in range(0, queries, step):
        part = slice(start, start + step)
        seen = mask[:, :, part] if mask is not None and mask.shape[2] > 1 else mask
        context, score = _explicit(
            query[:, :, part], key, value, seen, rows[:, part], request, scaling, dropout, start
        )
        contexts.append(context)
        total = join_scores(total, score, request)
    return torch.cat(contexts, dim=2), total


def _explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    rows: Tensor,
    request: ScoreRequest,
    scaling: float,
    dropout: float,
    first: int = 0,
) -> tuple[Tensor, Tensor]:
    documents, heads, queries, _ = query.shape
    # Heads are batched by hand and the matrix is normalised in place: 10 % less than `@` on the
    # views and a second matrix (2026-11-22, Skylake).
    q, k, v = (tensor.flatten(0, 1) for tensor in (query, key, value))
    logits = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=scaling)
    weights = masked_softmax(logits.unflatten(0, (documents, heads)), mask)
    score = column_scores(weights, rows, request, first)
    if dropout:
        weights = F.dropout(weights, dropout)
    context = torch.bmm(weights.flatten(0, 1), v)
    return context.unflatten(0, (documents, heads)), score


def masked_softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the keys that `mask` shows; a query that sees none attends to nothing.

    Without gradients the logits are overwritten.
    """
    # A graph that is exported has no memory of its own to overwrite.
    overwrite = not torch.is_grad_enabled() and not torch.compiler.is_exporting()
    if mask is not None:
        hidden = ~mask
        # The lowest finite number, not −inf: a row without any key would be NaN.
        lowest = torch.finfo(logits.dtype).min
        fill = logits.masked_fill_ if overwrite else logits.masked_fill
        logits = fill(hidden, lowest)
    weights = torch.softmax(logits, -1, out=logits) if overwrite else logits.softmax(-1)
    if mask is None:
        return weights
    # Only a query that sees no key at all is left with weight on hidden ones.
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0)
