"""Packed attention in one batched product, without a loop over the documents.

`attend` is the fallback on a GPU without a variable-length kernel: only queries, keys and values
are padded, for the length of this one call. `attend_dense` is quadratic in the tokens of the whole
row, so slow for rows of many documents; it is an obvious second opinion for the other back ends,
and, on a row of one document, which needs no mask, the one that exports.
"""

import torch
from torch import Tensor

from tersely.attention import softmax
from tersely.attention.packing import Packing
from tersely.ragged import Layout, Ragged


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Compute attention in a padded rectangle, as `loop.attend`."""
    q, q_mask = Ragged(query, packing.layout).to_padded()
    k, k_mask = Ragged(key, packing.key_layout).to_padded()
    v, _ = Ragged(value, packing.key_layout).to_padded()
    q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))  # (documents, heads, length, size)
    mask = k_mask[:, None, None, :]
    seen, bias = packing.terms(
        lambda: _rows(packing.layout)[:, None, :, None],
        lambda places: places[_rows(packing.key_layout)],
    )
    if packing.window is not None or packing.connections is not None:
        # What stands for nothing may see what it likes: no row of a softmax is empty.
        seen = seen | ~q_mask[:, None, :, None]
    if seen is not None:
        mask = mask & seen
    if packing.scores is None:
        context = softmax.attend_fused(q, k, v, mask, bias, scaling, dropout)
        return context.transpose(1, 2)[q_mask], None
    weights = softmax.column_weights(packing.layout, packing.scores)
    options = {"request": packing.scores, "scaling": scaling, "dropout": dropout}
    options["rows"], _ = Ragged(weights, packing.layout).to_padded()
    context, score = softmax.attend(q, k, v, mask=mask, bias=bias, **options)
    return context.transpose(1, 2)[q_mask], score.transpose(1, 2)[k_mask]


def _rows(layout: Layout) -> Tensor:
    """Row numbers of a padded rectangle, `(documents, longest)`; padding is some other row."""
    rows = layout.offsets[:-1, None] + torch.arange(layout.longest, device=layout.device)
    return rows.clamp(max=max(0, layout.tokens - 1))


def attend_dense(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Compute attention under a block-diagonal mask, as `loop.attend`."""
    layout, key_layout = packing.layout, packing.key_layout
    mask, bias = packing.terms(
        lambda: torch.arange(layout.tokens, device=query.device)[None, None, :, None],
        lambda places: places[None],
    )
    if len(layout) > 1:
        same = layout.segment_ids[:, None] == key_layout.segment_ids[None, :]
        mask = same[None, None] if mask is None else mask & same
    # In an export each head has a key left, so that every query of a plain row sees one.
    plain = layout.symbolic and packing.window is None and packing.connections is None
    blind = None if mask is None or plain else ~mask.any(-1, keepdim=True)
    request = packing.scores
    rows = None if request is None else softmax.column_weights(layout, request)[None]
    states = (tensor.transpose(0, 1)[None] for tensor in (query, key, value))
    options = {"mask": mask, "bias": bias, "blind": blind, "rows": rows, "request": request}
    context, scores = softmax.attend_piece(*states, **options, scaling=scaling, dropout=dropout)
    return context[0].transpose(0, 1), None if scores is None else scores[0].t()
