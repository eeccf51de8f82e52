"""From a trace to what became of each token: the blocks that it reached, its scores, its group.

A token is seen by a block where it is a key and a value of that block's attention. That reads the
same for methods that drop tokens and for those that drop keys alone: for both, the first block that
no longer sees a token is the one after it was dropped. Where each head drops keys of its own, a
token counts by the share of the heads that still see it: nearly every token stays in some head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tersely.modeling import Trace
from tersely.modeling.trace import BlockTrace
from tersely.ragged import Ragged

__all__ = ["NO_GROUP", "WindowFate", "window_fates"]

NO_GROUP = -1
"""Of a token that no combination token took in, or that was not merged into another."""


@dataclass(frozen=True)
class WindowFate:
    """What became of the tokens of one window.

    Attributes:
        layers: the encoder's number of each block that ran, `(blocks,)`.
        keys: share of the heads in which a token was a key of a block, `(blocks, tokens)`; of a
            combining block the share that it came with.
        present: whether a token entered a block, `(blocks, tokens)` bool.
        scores: what a block scored a token with, the mean of the heads, scaled to mean 1 over the
            document; `(blocks, tokens)`, NaN where it had no score.
        group: the combination token that took a token in, `(tokens,)`; `NO_GROUP` for none.
        combined_at: the place in `layers` of the combining block, None where there is none.
        merged_at: the place in `layers` of the block that merged a token into another,
            `(tokens,)`; `NO_GROUP` for none.
        merged_into: the token it was merged into, `(tokens,)`; `NO_GROUP` for none.
    """

    layers: tuple[int, ...]
    keys: np.ndarray
    present: np.ndarray
    scores: np.ndarray
    group: np.ndarray
    combined_at: int | None
    merged_at: np.ndarray
    merged_into: np.ndarray

    @property
    def reached(self) -> np.ndarray:
        """How many of the blocks saw each token, the mean of the heads, `(tokens,)`; 0 for none.

        A key that was dropped never returns, so this is how far it got.
        """
        return self.keys.sum(axis=0)


def window_fates(trace: Trace, lengths: list[int]) -> list[WindowFate]:
    """What became of every token of a batch.

    Args:
        trace: a full one, of `output_trace=True`.
        lengths: tokens of each window that were read.

    Returns:
        One entry a window, in the batch's order.
    """
    return [_fate_of(trace, number, length) for number, length in enumerate(lengths)]


def _fate_of(trace: Trace, number: int, length: int) -> WindowFate:
    blocks = len(trace.blocks)
    keys = np.zeros((blocks, length), dtype=np.float32)
    present = np.zeros((blocks, length), dtype=bool)
    scores = np.full((blocks, length), np.nan, dtype=np.float32)
    group, merged_at, merged_into = (np.full(length, NO_GROUP) for _ in range(3))
    combined_at = None
    entering = _part(trace.entered, number)
    shares = np.ones(len(entering), dtype=np.float32)
    for place, layer in enumerate(trace.blocks):
        own = entering >= 0
        tokens = entering[own]
        present[place, tokens] = True
        keys[place, tokens] = shares[own]
        if layer.importance is not None:
            found = _part(layer.importance, number).mean(axis=1)[own]
            scores[place, tokens] = np.where(shares[own] > 0, found, np.nan)
        leaving = _part(layer.alive, number)
        if layer.groups is not None and layer.kind == "combine":
            group[tokens] = _part(layer.groups, number)
            combined_at = place
        elif layer.groups is not None:
            leader = leaving[_part(layer.groups, number) - _start(layer.alive, number)][own]
            gone = leader != tokens
            merged_at[tokens[gone]] = place
            merged_into[tokens[gone]] = leader[gone]
        shares = _key_shares(layer, number, len(leaving))
        entering = leaving
    layers = tuple(layer.block for layer in trace.blocks)
    return WindowFate(layers, keys, present, scores, group, combined_at, merged_at, merged_into)


def _start(ragged: Ragged, number: int) -> int:
    return int(ragged.layout.offsets[number])


def _part(ragged: Ragged, number: int) -> np.ndarray:
    return _rows(ragged.values, ragged, number)


def _rows(values: Tensor, ragged: Ragged, number: int) -> np.ndarray:
    start, stop = ragged.layout.offsets[number : number + 2].tolist()
    part = values[start:stop].detach()
    return (part.float() if part.is_floating_point() else part).cpu().numpy()


def _key_shares(layer: BlockTrace, number: int, count: int) -> np.ndarray:
    """Share of the heads for which each token that left a block is a key of the next one."""
    if layer.alive_keys is None:
        return np.ones(count, dtype=np.float32)
    mask = _rows(layer.alive_keys, layer.alive, number)
    return mask.reshape(count, -1).mean(axis=1, dtype=np.float32)
