"""Packed attention through a padded copy: the fallback on a GPU without a variable-length kernel.

Only queries, keys and values are padded, for the length of this one call; everything around the
attention stays packed. One batched product is what a GPU wants where a loop would launch a kernel
for every document.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.attention.packing import Packing
from tersely.attention.scores import column_weights, explicit_attention
from tersely.ragged import Ragged

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
    q, q_mask = Ragged(query, packing.layout).to_padded()
    k, k_mask = Ragged(key, packing.key_layout).to_padded()
    v, _ = Ragged(value, packing.key_layout).to_padded()
    q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))  # (documents, heads, length, size)
    mask = k_mask[:, None, None, :]
    if packing.keys is not None and packing.keys.filled is not None:
        filled, _ = Ragged(packing.keys.filled, packing.key_layout).to_padded(False)
        mask = mask & filled.transpose(1, 2)[:, :, None, :]
    if window is not None or packing.connections is not None:
        rows = torch.arange(packing.layout.tokens, device=query.device)
        q_rows, _ = Ragged(rows, packing.layout).to_padded(-1)
        k_rows, _ = Ragged(packing.key_rows(), packing.key_layout).to_padded(-1)
        mask = mask & packing.seen(q_rows, k_rows, window)
    if packing.scores is None:
        context = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
        return context.transpose(1, 2)[q_mask], None
    weights = column_weights(packing.layout, packing.scores)
    rows, _ = Ragged(weights, packing.layout).to_padded()
    context, score = explicit_attention(q, k, v, mask, rows, packing.scores, scaling, dropout)
    return context.transpose(1, 2)[q_mask], score.transpose(1, 2)[k_mask]
