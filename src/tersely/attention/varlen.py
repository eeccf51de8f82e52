"""Packed attention on a CUDA device in half precision: torch's variable-length flash kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from tersely.attention.packing import Packing
from tersely.ragged import Layout

__all__ = ["attend", "fits"]


def fits(query: Tensor, packing: Packing, dropout: float, window: int | None) -> bool:
    """Whether the kernel can compute this call: CUDA, half precision, no scores, no dropout.

    A window is measured by the kernel on places in the row, so it fits only rows from which no
    token was taken and to which no global token was added.
    """
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        return False
    if packing.scores is not None or dropout:
        return False
    window, fitting = _window(packing, window)
    return fitting and (window is None or (packing.keys is None and packing.positions is None))


def _window(packing: Packing, window: int | None) -> tuple[int | None, bool]:
    """The window that says all of an encoder's and a pattern's, and whether there is one."""
    if packing.connections is None:
        return window, True
    band = packing.connections.band
    if band is None or band.first or not band.exact or len(set(band.reaches)) != 1:
        return window, False
    own = band.reaches[0] + 1
    return (own if window is None else min(own, window)), True


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
    from torch.nn.attention.varlen import varlen_attn

    if packing.scores is not None or dropout:
        raise ValueError("the variable-length kernel returns no scores and drops nothing")
    window, fitting = _window(packing, window)
    if not fitting:
        raise ValueError(
            "the variable-length kernel knows windows of one width without global tokens, got the "
            f"pattern {packing.connections.name!r}; use the back end 'padded' or 'auto', or "
            "neighbours with cls=False"
        )
    if window is not None and (packing.keys is not None or packing.positions is not None):
        raise ValueError(
            "the variable-length kernel measures a window on places in the row, got keys or "
            "positions of their own; use another back end"
        )
    queries, keys = packing.layout, packing.key_layout
    heads = query.shape[1]
    split = packing.keys is not None and packing.keys.filled is not None
    if split:
        # Heads that keep different numbers of keys are documents of their own, with one head.
        filled = packing.keys.filled
        counts = keys.count(filled)  # (documents, heads)
        order = _head_major(keys, filled)
        key, value = (tensor.flatten(0, 1)[order][:, None] for tensor in (key, value))
        query = _split_heads(query, queries)
        queries = Layout.from_lengths(queries.lengths.repeat_interleave(heads))
        keys = Layout.from_lengths(counts.flatten())
    reach = -1 if window is None else window - 1
    context = varlen_attn(
        query,
        key,
        value,
        queries.offsets.int(),
        keys.offsets.int(),
        queries.longest,
        keys.longest,
        scale=scaling,
        window_size=(reach, reach),
    )
    return (_join_heads(context, packing.layout, heads) if split else context), None


def _head_major(layout: Layout, filled: Tensor) -> Tensor:
    """Flat `(row, head)` numbers of the filled places, ordered by document, head, place."""
    heads = filled.shape[1]
    rows, head = filled.nonzero(as_tuple=True)
    order = (layout.segment_ids[rows] * heads + head).argsort(stable=True)
    return rows[order] * heads + head[order]


def _split_heads(query: Tensor, layout: Layout) -> Tensor:
    everything = torch.ones(query.shape[:2], dtype=torch.bool, device=query.device)
    return query.flatten(0, 1)[_head_major(layout, everything)][:, None]


def _join_heads(context: Tensor, layout: Layout, heads: int) -> Tensor:
    everything = torch.ones(layout.tokens, heads, dtype=torch.bool, device=context.device)
    order = _head_major(layout, everything)
    flat = torch.empty_like(context[:, 0]).index_copy(0, order, context[:, 0])
    return flat.view(layout.tokens, heads, -1)
