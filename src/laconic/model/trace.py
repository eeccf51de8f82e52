"""The trace: what every block really computed, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from laconic.ragged import Layout, Ragged

__all__ = ["LayerTrace", "Prices", "Trace"]

Number = TypeVar("Number", int, Tensor)


@dataclass(frozen=True)
class LayerTrace:
    """What one block did.

    Attributes:
        layer: 0-based block.
        kind: `"block"`, or `"combine"` where the combining module stands in its place.
        queries: tokens that entered, a figure a document.
        keys: keys and values that each query of a head attended to, a figure a document (the
            largest of its heads, since that many places are computed).
        transformed: tokens that went through the feed-forward, a figure a document.
        multiply_adds: of the block, all documents together.
        alive: tokens that left the block: their places in the original document, −1 for
            combination tokens; `(tokens,)`.
        alive_keys: of those, the ones that are still keys of the next block: `(tokens,)` or
            `(tokens, heads)` bool, None for all.
        importance: the scores that the block's attention gave the tokens that entered, scaled to
            mean 1, `(tokens, heads or 1)`; None where no step asked for any.
        groups: where tokens became one: for `"combine"` the combination token that took each
            embedded token in, `(tokens that entered and were embedded,)`; for a block that merges,
            the place among the tokens that left it in which each token that entered is now,
            `(tokens that entered,)`. None elsewhere.
    """

    layer: int
    kind: str
    queries: list[int]
    keys: list[int]
    transformed: list[int]
    multiply_adds: int
    alive: Ragged | None = None
    alive_keys: Tensor | None = None
    importance: Ragged | None = None
    groups: Ragged | None = None


@dataclass
class Trace:
    """What a forward pass computed, block by block.

    Attributes:
        documents: how many documents it had.
        layers: one entry a block.
        other_multiply_adds: of the embedding's projection and the head.
    """

    documents: int
    layers: list[LayerTrace] = field(default_factory=list)
    other_multiply_adds: int = 0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all matrix products, all documents together."""
        return self.encoder_multiply_adds + self.other_multiply_adds

    @property
    def encoder_multiply_adds(self) -> int:
        """Multiply-adds of the encoder's blocks, all documents together."""
        return sum(layer.multiply_adds for layer in self.layers)

    def tokens_alive(self) -> list[list[int]]:
        """Tokens that went through each block's feed-forward, `[layer][document]`."""
        return [layer.transformed for layer in self.layers]


@dataclass(frozen=True)
class Prices:
    """Multiply-adds of a block for each thing that it computes.

    Attributes:
        entering: for each token that enters.
        pair: for each query with each of its keys.
        leaving: for each token that goes through the feed-forward.
        fixed: whatever the tokens.
    """

    entering: int = 0
    pair: int = 0
    leaving: int = 0
    fixed: int = 0

    def total(self, entered: Number, pairs: Number, left: Number) -> Number:
        """Multiply-adds for so many tokens and pairs, whole numbers or tensors."""
        return self.entering * entered + self.pair * pairs + self.leaving * left + self.fixed


def count_pairs(queries: Layout, keys: Layout) -> int:
    """Queries with each of their document's keys, all documents together."""
    return sum(q * k for q, k in zip(queries.sizes, keys.sizes, strict=True))


def group_trace(groups: Tensor, layout: Layout) -> Ragged:
    """Groups of the embedded tokens, without gradients."""
    return Ragged(groups.detach().to(torch.int64), layout)
