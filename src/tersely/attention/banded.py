"""Attention inside a band around the diagonal that computes the band, and little more.

Queries are taken in pieces of neighbours, and each piece meets the keys within the reach of any of
its queries, besides the global ones at both ends of the document; global queries meet all keys.
What a piece computes in vain, at the corners of the band, is masked. The backward pass makes each
piece's matrix a second time instead of keeping it: the memory is that of one piece.

A document of nine tokens, one of them global, a reach of one, pieces of two queries: `#` is
computed and seen, `o` computed and masked.

    key      0 1 2 3 4 5 6 7 8
    query 0  # # # # # # # # #      the global one
          1  # # # o
          2  # # # #
          3  #   # # # o
          4  #   o # # #            … and so on
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tersely.attention import softmax
from tersely.attention.packing import Packing
from tersely.attention.softmax import Workspace

# Queries of a piece, at least and at most. Fewer make many calls, more compute much in vain: with 6
# heads of 64 and a reach of 64 on 2,048 tokens, pieces of 32, 64, 128 and 256 took 31, 29, 29 and
# 36 ms, all pairs 126 ms (two Skylake cores, 2026-11-22).
_SMALLEST, _LARGEST = 64, 128
# The share of the pairs up to which skipping the others is faster than masking them: at 512 tokens
# in pieces of 256, 53, 62 and 75 % took 29, 34 and 42 ms, all pairs without any mask 38 ms.
_PAYS = 0.75


@dataclass(frozen=True)
class Reach:
    """What a band covers of a document, in places of the row, and in what steps."""

    width: int  # the largest distance of a query and a key
    first: int  # places at the beginning whose tokens may see and be seen by all
    last: int  # places at the end, likewise
    plain: bool  # whether this is all there is to know, so that masks need no positions
    step: int = _SMALLEST  # queries of a piece


@dataclass(frozen=True)
class Piece:
    """Some queries of a document, and the keys that they meet, in rising stretches."""

    queries: slice
    keys: tuple[slice, ...]
    # Keys that are global at the beginning, in the band, and global at the end; None for all keys.
    stretches: tuple[int, int, int] | None = None
    shift: int = 0  # from the first query to the first key in the band


def reach_of(packing: Packing, documents: range, tokens: slice) -> Reach | None:
    """Return the band to compute for documents of equal length; None where none is or would pay.

    Positions rise along a document, so tokens that lie so far apart in the row lie at least as far
    apart in the document, and the band in the row holds the one in positions.
    """
    connections, window = packing.connections, packing.window
    band = None if connections is None else connections.band
    if window is None and band is None:
        return None
    if band is None:
        width, first, exact = window - 1, 0, connections is None
    else:
        reaches = {band.reaches[document] for document in documents}
        width, first, exact = max(reaches), band.first, band.exact and len(reaches) == 1
        if window is not None and window - 1 <= width:
            width, first = window - 1, 0
        exact = exact and window is None
    count = len(documents)
    length = (tokens.stop - tokens.start) // count
    last = 0
    if packing.positions is not None:
        exact = False
        # Tokens without a position of their own are global; they stand at the end.
        wild = (packing.positions[tokens].view(count, length) < 0).any(0).nonzero()
        last = length - int(wild[0]) if len(wild) else 0
    first = min(first, length - last)
    reach = Reach(width, first, last, exact, max(_SMALLEST, min(_LARGEST, width)))
    return reach if pairs(length, reach) <= _PAYS * length * length else None


@lru_cache(maxsize=256)
def pieces(length: int, reach: Reach) -> tuple[Piece, ...]:
    """Cut a document of this length into the pieces that compute a band."""
    first, end = reach.first, length - reach.last
    everything = (slice(0, length),)
    found = [Piece(part, everything) for part in _blocks(0, first, reach.step)]
    for part in _blocks(first, end, reach.step):
        near = slice(max(first, part.start - reach.width), min(end, part.stop + reach.width))
        keys = (slice(0, first), near, slice(end, length))
        counts = (first, near.stop - near.start, reach.last)
        found.append(Piece(part, _joined(keys), counts, near.start - part.start))
    found += [Piece(part, everything) for part in _blocks(end, length, reach.step)]
    return tuple(found)


def _blocks(start: int, stop: int, step: int) -> Iterator[slice]:
    return (slice(first, min(first + step, stop)) for first in range(start, stop, step))


def _joined(stretches: tuple[slice, ...]) -> tuple[slice, ...]:
    """Stretches without empty ones, and neighbours as one: a single one needs no copy."""
    found: list[slice] = []
    for part in (part for part in stretches if part.stop > part.start):
        if found and found[-1].stop == part.start:
            part = slice(found.pop().start, part.stop)
        found.append(part)
    return tuple(found)


def pairs(length: int, reach: Reach) -> int:
    """Return the pairs of a query and a key that each head computes for a document."""
    return sum(
        (piece.queries.stop - piece.queries.start) * sum(key.stop - key.start for key in piece.keys)
        for piece in pieces(length, reach)
    )


def shape_mask(piece: Piece, reach: Reach, device: torch.device) -> Tensor | None:
    """Return who sees whom in a piece of a plain band, `(1, 1, queries, keys)`; None for all."""
    if piece.stretches is None:
        return None
    count = piece.queries.stop - piece.queries.start
    return _shape_mask(count, piece.stretches, piece.shift, reach.width, device)


@lru_cache(maxsize=64)
def _shape_mask(
    count: int, stretches: tuple[int, int, int], shift: int, width: int, device: torch.device
) -> Tensor:
    lead, near, trail = stretches
    queries = torch.arange(count, device=device)[:, None]
    seen = (queries - torch.arange(shift, shift + near, device=device)).abs() <= width
    return torch.nn.functional.pad(seen, (lead, trail), value=True)[None, None]


MaskOf = Callable[[Piece], Tensor | None]


class _Call(NamedTuple):
    parts: tuple[Piece, ...]
    mask_of: MaskOf
    scaling: float
    workspace: Workspace


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    reach: Reach,
    mask_of: MaskOf,
    scaling: float,
    workspace: Workspace,
    out: Tensor | None = None,
) -> Tensor:
    """Compute attention in a band, of documents of equal length `(documents, heads, length, size)`.

    `mask_of` says of a piece what its queries see, broadcastable to `(documents, heads, queries,
    keys)` bool, None for all; without gradients the result is written to `out`.
    """
    call = _Call(pieces(query.shape[2], reach), mask_of, scaling, workspace)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value)):
        return _Banded.apply(query, key, value, call)
    return _forward(query, key, value, call, torch.empty_like(query) if out is None else out)


def _forward(query: Tensor, key: Tensor, value: Tensor, call: _Call, out: Tensor) -> Tensor:
    for piece in call.parts:
        q, k, v = query[:, :, piece.queries], _take(key, piece), _take(value, piece)
        options = {"mask": call.mask_of(piece), "workspace": call.workspace}
        softmax.attend(q, k, v, out=out[:, :, piece.queries], scaling=call.scaling, **options)
    return out


def _take(states: Tensor, piece: Piece) -> Tensor:
    taken = [states[..., stretch, :] for stretch in piece.keys]
    return taken[0] if len(taken) == 1 else torch.cat(taken, dim=-2)


class _Banded(torch.autograd.Function):
    """The same with gradients; each piece's matrix is made again on the way back."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, call: _Call) -> Tensor:
        # Laid out as the row is, so that what follows need not copy it.
        out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
        out = _forward(query, key, value, call, out.transpose(1, 2))
        ctx.save_for_backward(query, key, value, out)
        ctx.call = call
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out = ctx.saved_tensors
        grads = tuple(torch.zeros_like(states) for states in (query, key, value))
        # What a softmax takes off: Σ_j p_j · dp_j, which is the output times its gradient.
        taken_off = (grad * out).sum(-1, keepdim=True)
        for piece in ctx.call.parts:
            mask = ctx.call.mask_of(piece)
            # One document at a time: its views need no copy, and its matrices stay in the cache.
            for number in range(len(query)):
                own = mask if mask is None or len(mask) == 1 else mask[number : number + 1]
                states = [t[number] for t in (query, key, value, grad, taken_off)]
                _backward(piece, own, states, [g[number] for g in grads], ctx.call)
        return (*grads, None)


def _backward(
    piece: Piece, mask: Tensor | None, states: list[Tensor], grads: list[Tensor], call: _Call
) -> None:
    """Add the gradients of one piece of one document, whose states are `(heads, length, size)`."""
    rows = piece.queries
    query, grad, taken_off = (states[i][:, rows] for i in (0, 3, 4))
    key, value = (_take(states[i], piece) for i in (1, 2))
    terms = mask, None, softmax.blind_queries(mask)
    weights = softmax.matrix(query[None], key[None], *terms, call.scaling, call.workspace)[0]
    to_value = torch.bmm(weights.transpose(1, 2), grad)
    to_logits = torch.bmm(grad, value.transpose(1, 2))
    to_logits.sub_(taken_off).mul_(weights).mul_(call.scaling)
    grads[0][:, rows] += torch.bmm(to_logits, key)
    to_key = torch.bmm(to_logits.transpose(1, 2), query)
    place = 0
    for stretch in piece.keys:
        part = slice(place, place + stretch.stop - stretch.start)
        grads[1][:, stretch] += to_key[:, part]
        grads[2][:, stretch] += to_value[:, part]
        place = part.stop
