"""Attention without gradients: the explicit matrix, made and used in one buffer.

Where nothing is kept for a backward pass, the matrix is made a few heads at a time in a buffer that
stays in the cache, normalised in place, and read once more where scores are wanted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tersely.attention.packing import ScoreRequest
from tersely.attention.scores import column_scores, join_scores

__all__ = ["Workspace"]

# Entries of the attention matrix that are made at a time: 1 Mi floats are 4 MiB.
_PIECE = 1 << 20


class Workspace:
    """The buffer in which the attention of one row's documents is computed, one after the other.

    Args:
        dtype: of the states.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._buffer = torch.empty(0, dtype=dtype)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        rows: Tensor | None,
        request: ScoreRequest | None,
        scaling: float,
        out: Tensor,
    ) -> Tensor | None:
        """Attention of some documents of equal length.

        Args:
            query: `(documents, heads, queries, size)`.
            key: `(documents, heads, keys, size)`.
            value: `(documents, heads, keys, size)`.
            mask: broadcastable to `(documents, heads, queries, keys)` bool, True where a query may
                see; None for everywhere.
            rows: `(documents, queries)`, the weight of each query in the scores; None for no
                scores.
            request: which scores.
            scaling: factor on the dot products.
            out: `(documents, heads, queries, size)`, where the result is written.

        Returns:
            The scores, `(documents, heads, keys)`, or None.
        """
        documents, heads, queries, _ = query.shape
        keys = key.shape[2]
        matrix = queries * keys
        together = _whole(_PIECE // max(1, heads * matrix), documents)
        if together < documents:
            parts = [slice(i, i + together) for i in range(0, documents, together)]
            scores = [
                self.attend(
                    query[part],
                    key[part],
                    value[part],
                    mask[part] if mask is not None and mask.shape[0] > 1 else mask,
                    None if rows is None else rows[part],
                    request,
                    scaling,
                    out[part],
                )
                for part in parts
            ]
            return None if rows is None else torch.cat(scores)
        blind = _blind(mask)
        scores: list[Tensor] = []
        head_step = _whole(_PIECE // max(1, documents * matrix), heads)
        row_step = max(32, _PIECE // max(1, documents * head_step * keys))
        for first in range(0, heads, head_step):
            some = slice(first, first + head_step)
            score = None
            k, v = key[:, some].flatten(0, 1), value[:, some].flatten(0, 1)
            for start in range(0, queries, row_step):
                part = slice(start, start + row_step)
                weights = self._weights(
                    query[:, some, part],
                    k,
                    _cut(mask, some, part),
                    _cut(blind, some, part),
                    scaling,
                )
                if rows is not None:
                    more = column_scores(weights, rows[:, part], request, start)
                    score = join_scores(score, more, request)
                out[:, some, part] = torch.bmm(weights.flatten(0, 1), v).unflatten(
                    0, weights.shape[:2]
                )
            if score is not None:
                scores.append(score)
        return torch.cat(scores, dim=1) if scores else None

    def weights(self, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
        """The normalised matrix of one document, `(1, heads, queries, keys)`, in the buffer.

        Args:
            query: `(1, heads, queries, size)`.
            key: `(heads, keys, size)`.
            mask: as for `attend`.
            scaling: factor on the dot products.
        """
        return self._weights(query, key, mask, _blind(mask), scaling)

    def _weights(
        self, query: Tensor, key: Tensor, mask: Tensor | None, blind: Tensor | None, scaling: float
    ) -> Tensor:
        """The normalised matrix of a piece, `(documents, heads, queries, keys)`, in the buffer."""
        shape = (*query.shape[:3], key.shape[1])
        needed = shape[0] * shape[1] * shape[2] * shape[3]
        if needed > self._buffer.numel():
            self._buffer = self._buffer.new_empty(needed)
        weights = self._buffer[:needed].view(shape[0] * shape[1], shape[2], shape[3])
        torch.baddbmm(
            weights, query.flatten(0, 1), key.transpose(1, 2), beta=0, alpha=scaling, out=weights
        )
        weights = weights.view(shape)
        if mask is not None:
            # Half of the lowest number, not −inf: a row without any key would be NaN. Adding is
            # five to nine times as fast as filling with a mask that is broadcast (180 and 512 keys;
            # two Skylake cores, 2026-11-22).
            bias = weights.new_zeros(mask.shape)
            weights += bias.masked_fill_(~mask, torch.finfo(weights.dtype).min / 2)
        torch.softmax(weights, -1, out=weights)
        return weights if blind is None else weights.masked_fill_(blind, 0)


def _whole(fits: int, most: int) -> int:
    return max(1, min(fits, most))


def _blind(mask: Tensor | None) -> Tensor | None:
    """The queries that see no key at all, `(documents, heads, queries, 1)`; None if all see one."""
    blind = None if mask is None else ~mask.any(-1, keepdim=True)
    return blind if blind is not None and bool(blind.any()) else None


def _cut(tensor: Tensor | None, heads: slice, queries: slice) -> Tensor | None:
    """The part of something broadcastable to `(documents, heads, queries, …)`."""
    if tensor is None:
        return None
    tensor = tensor[:, heads] if tensor.shape[1] > 1 else tensor
    return tensor[:, :, queries] if tensor.shape[2] > 1 else tensor
