"""Packed attention on a CUDA device in half precision: torch's variable-length flash kernel."""

import torch
from torch import Tensor

from tersely.attention.packing import Packing
from tersely.ragged import Layout

_WIDEST = 256  # most columns of a head that flash kernels take


def fits(query: Tensor, packing: Packing, dropout: float, window: int | None) -> bool:
    """Say whether the kernel can compute a call."""
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.device.type == "cuda" and half and _lacks(query, packing, dropout, window) is None


def _lacks(query: Tensor, packing: Packing, dropout: float, window: int | None) -> str | None:
    """What the kernel cannot do of a call, as the end of a sentence; None where it can do all."""
    if packing.scores is not None or dropout:
        return "returns no scores and drops nothing"
    if packing.biased:
        return "adds nothing to the logits of single pairs"
    size = query.shape[-1]
    if size % 8 or size > _WIDEST:
        return f"wants heads of 8, 16, … {_WIDEST} columns, got {size}"
    connections = packing.connections
    if connections is not None and _width(packing) is None:
        return (
            f"knows windows of one width without global tokens, got the pattern "
            f"{connections.name!r}; give neighbours cls=False"
        )
    moved = packing.keys is not None or packing.positions is not None
    if moved and (window is not None or connections is not None):
        return "measures a window on places in the row, got keys or positions of their own"
    return None


def _width(packing: Packing) -> int | None:
    """The window that says all of a pattern; None if there is none."""
    band = packing.connections.band
    if band is None or band.first or not band.exact or len(set(band.reaches)) != 1:
        return None
    return band.reaches[0] + 1


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
    """Compute attention by the kernel, as `loop.attend`; a ValueError names what it cannot do."""
    from torch.nn.attention.varlen import varlen_attn

    lacks = _lacks(query, packing, dropout, window)
    if lacks is not None:
        raise ValueError(f"the variable-length kernel {lacks}; use the back end 'padded' or 'auto'")
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
