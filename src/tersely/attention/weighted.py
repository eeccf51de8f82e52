"""Attention in which each connection has a weight, while a pattern is being learned.

A weight m of a pair adds log m to its logit: after the softmax that is the attention times m,
normalised again. Weights carry gradients, so the matrix is made as a whole.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tersely.attention.packing import ScoreRequest
from tersely.attention.scores import column_scores, masked_softmax

__all__ = ["attend"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    logs: Tensor,
    mask: Tensor | None,
    rows: Tensor | None,
    request: ScoreRequest | None,
    scaling: float,
    dropout: float,
) -> tuple[Tensor, Tensor | None]:
    """Attention of documents of equal length; arguments as those of `explicit_attention`.

    Args:
        query: `(documents, heads, queries, size)`.
        key: `(documents, heads, keys, size)`.
        value: `(documents, heads, keys, size)`.
        logs: `(documents, heads or 1, queries, keys)`, logarithms of the weights; −inf where `mask`
            is false.
        mask: who sees whom, broadcastable to the same.
        rows: `(documents, queries)`, the weight of each query in the scores; None for no scores.
        request: which scores.
        scaling: factor on the dot products.
        dropout: probability of dropping an attention weight.

    Returns:
        `(documents, heads, queries, size)` and the scores `(documents, heads, keys)`, or None.
    """
    logits = (query @ key.transpose(2, 3)) * scaling
    if mask is not None:
        logs = logs.masked_fill(~mask, 0)
    weights = masked_softmax(logits + logs, mask)
    score = None if rows is None else column_scores(weights, rows, request)
    if dropout:
        weights = F.dropout(weights, dropout)
    return weights @ value, score
