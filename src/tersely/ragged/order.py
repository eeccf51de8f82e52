"""Order statistics inside segments of a flat tensor: sorted values, quantiles, who is lowest.

Sorting is what token selection spends its time on. `torch.sort` took 20 ms for 98,304 floats on two
Skylake cores, numpy's vectorised sort of 64-bit integers 1.5 ms (2026-11-22), so on the CPU the
segment number and the value's bits are put into one integer and sorted there. Elsewhere, and where
gradients must flow, torch does it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sorted_values(values: Tensor, segments: Tensor) -> Tensor:
    """Sort the values `(n,)`, none NaN, inside each segment, one segment after the other.

    `segments` are int64 below 2³¹; returns float32 without a gradient, −0 before +0.
    """
    return _values(_sort(values, segments))


def lowest(values: Tensor, segments: Tensor, starts: Tensor, counts: Tensor) -> Tensor:
    """Mark the lowest `counts` values of each segment; among equals the later ones are marked.

    Args:
        values: `(n,)` floats without NaN.
        segments: `(n,)` int64, the segment of each value; segments may be interleaved.
        starts: `(segments,)` int64, how many values the segments before each one have.
        counts: `(segments,)` int64, at most the segment's length.
    """
    if values.numel() == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    last = (starts + counts - 1).clamp(min=0, max=values.numel() - 1)
    limit = _values(_sort(values, segments)[last])
    # Nothing is at most NaN.
    limit = torch.where(counts > 0, limit, torch.full_like(limit, torch.nan))[segments]
    compared = values.detach().float()
    marked = compared <= limit
    if int(marked.sum()) == int(counts.sum()):
        return marked
    tied = (compared == limit).nonzero()[:, 0]
    surplus = torch.bincount(segments[marked], minlength=counts.numel()) - counts
    marked[tied[_rank(segments[tied]) < surplus[segments[tied]]]] = False
    return marked


def lowest_of_columns(values: Tensor, counts: Tensor) -> Tensor:
    """Mark the lowest `counts` `(columns,)` of each column of `values` `(n, columns)`.

    The same as `lowest` with each column as a segment, in operations that a graph can hold.
    """
    values = values.detach().float()
    last = (counts - 1).clamp(min=0)[None]
    limit = values.sort(dim=0).values.gather(0, last)
    below, tied = values < limit, values == limit
    # Equals after this one, in the order of the column.
    behind = tied.long().sum(0, keepdim=True) - tied.long().cumsum(0)
    marked = below | (tied & (behind < counts - below.long().sum(0)))
    return marked & (counts > 0)


def quantile_of_sorted(ordered: Tensor, starts: Tensor, lengths: Tensor, q: float) -> Tensor:
    """Return a quantile of each segment, `(segments,)`, as `torch.quantile`; NaN for empty ones.

    Args:
        ordered: `(n,)` floats, ascending inside each segment.
        starts: `(segments,)` int64, the first value of each.
        lengths: `(segments,)` int64, how many of its values count.
        q: in [0, 1].
    """
    if ordered.numel() == 0:
        return ordered.new_full(starts.shape, torch.nan)
    place = (lengths - 1).clamp(min=0).to(ordered.dtype) * q
    below = place.floor().long()
    above = torch.minimum(below + 1, (lengths - 1).clamp(min=0))
    last = ordered.numel() - 1
    low, high = (ordered[(starts + part).clamp(max=last)] for part in (below, above))
    result = torch.lerp(low, high, place - below)
    return torch.where(lengths > 0, result, torch.full_like(result, torch.nan))


def _sort(values: Tensor, segments: Tensor) -> Tensor:
    """Integers that order first by segment and then by value, sorted."""
    keys = (segments << 32) + _ranks(values.detach().float().contiguous().view(torch.int32))
    if keys.device.type == "cpu":
        return torch.from_numpy(np.sort(keys.numpy()))
    return keys.sort().values


def _values(keys: Tensor) -> Tensor:
    """The values back, from the lower halves of the integers."""
    return _ranks(keys.to(torch.int32)).view(torch.float32)


def _ranks(bits: Tensor) -> Tensor:
    """Bits of floats, int32, to integers with the same order, and such integers back to bits.

    Floats order like integers where the sign bit is clear, and backwards where it is set.
    """
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _rank(segments: Tensor) -> Tensor:
    """How many earlier ones of the same segment each entry has."""
    order = segments.argsort(stable=True)
    sizes = torch.bincount(segments)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[segments[order]]
    return rank
