"""Packed attention on a CUDA device in half precision: torch's variable-length flash kernel."""

import torch
from torch import Tensor

from tersely.attention.packing import Packing
from tersely.ragged import Layout

_WIDEST = 256  # most columns of a head that flash kernels take


def fits(query: Tensor, packing: Packing, dropout: float) -> bool:
    """Say whether the kernel can compute a call."""
    half, size = query.dtype in (torch.float16, torch.bfloat16), query.shape[-1]
    if query.device.type != "cuda" or not half or size % 8 or size > _WIDEST:
        return False
    # It returns no scores, drops nothing, and adds nothing to the logits of single pairs.
    if packing.scores is not None or dropout or packing.biased:
        return False
    if packing.connections is not None and _width(packing) is None:
        return False
    # It measures a window on places in the row.
    moved = packing.keys is not None or packing.positions is not None
    return not moved or (packing.window is None and packing.connections is None)


def _width(packing: Packing) -> int | None:
    """The window that says all of a pattern, without global tokens; None if there is none."""
    band = packing.connections.band
    if band is None or band.first or not band.exact or len(set(band.reaches)) != 1:
        return None
    return band.reaches[0] + 1


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Compute attention by the kernel, as `loop.attend`, where it `fits`."""
    from torch.nn.attention.varlen import varlen_attn

    window = packing.window
    if packing.connections is not None:
        width = _width(packing)
        window = min(width, window or width)
    queries, keys = packing.layout, packing.key_layout
    heads = query.shape[1]
    split = packing.keys is not None and packing.keys.filled is not None
    if split:
        # Heads that keep different numbers of keys are documents of their own, with one head.
        filled = packing.keys.filled
        order = _head_major(keys, filled)
        key, value = (tensor.flatten(0, 1)[order][:, None] for tensor in (key, value))
        query = query.flatten(0, 1)[_head_major(queries, heads)][:, None]
        queries = Layout.from_lengths(queries.lengths.repeat_interleave(heads))
        keys = Layout.from_lengths(keys.count(filled).flatten())
    reach = -1 if window is None else window - 1
    bounds = (queries.offsets.int(), keys.offsets.int(), queries.longest, keys.longest)
    context = varlen_attn(query, key, value, *bounds, scale=scaling, window_size=(reach, reach))
    if split:
        order, flat = _head_major(packing.layout, heads), context[:, 0]
        context = torch.empty_like(flat).index_copy(0, order, flat).unflatten(0, (-1, heads))
    return context, None


def _head_major(layout: Layout, filled: Tensor | int) -> Tensor:
    """Flat `(row, head)` numbers of the filled places, ordered by document, head, place."""
    if isinstance(filled, int):  # so many heads, everything filled
        filled = torch.ones(layout.tokens, filled, dtype=torch.bool, device=layout.device)
    heads = filled.shape[1]
    rows, head = filled.nonzero(as_tuple=True)
    order = (layout.segment_ids[rows] * heads + head).argsort(stable=True)
    return rows[order] * heads + head[order]
