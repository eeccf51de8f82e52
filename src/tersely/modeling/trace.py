"""The trace: what every block really computed, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tersely.attention import Packing
from tersely.modeling.cost import pairs_of
from tersely.ragged import Ragged
from tersely.reduction import BlockCost, Stream


@dataclass(frozen=True)
class BlockTrace:
    """What one block did.

    Attributes:
        block: 0-based block.
        kind: `"block"`, or the kind of the action whose module stands in its place (`"combine"`).
        queries: tokens that entered, a figure a document.
        keys: keys and values that each query of a head attended to, a figure a document: those of
            the head that has most of them.
        transformed: tokens that went through the feed-forward, a figure a document.
        macs: of the block, all documents together.
        pairs: of a query and a key, whose product each head computed, a figure a document: fewer
            than `queries · keys` where a kernel skips what a band leaves out, more where keys are
            hidden in their places.
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
        connected: the pairs that the plan's pattern lets through, a figure a document, the mean of
            the heads, or the sum of their weights while it is being learned; None where there is no
            pattern. An encoder's own windows are not counted.
    """

    block: int
    kind: str
    queries: list[int]
    keys: list[int]
    transformed: list[int]
    macs: int
    pairs: list[int] = field(default_factory=list)
    alive: Ragged | None = None
    alive_keys: Tensor | None = None
    importance: Ragged | None = None
    groups: Ragged | None = None
    connected: list[float] | None = None

    @property
    def sparsity(self) -> list[float] | None:
        """The share of all pairs that the pattern leaves out, a figure a document."""
        if self.connected is None:
            return None
        whole = (q * k for q, k in zip(self.queries, self.keys, strict=True))
        return [1 - own / all_of_it for own, all_of_it in zip(self.connected, whole, strict=True)]


@dataclass
class Trace:
    """What a forward pass computed, block by block.

    Attributes:
        documents: how many documents it had.
        blocks: one entry a block.
        other_macs: of the embedding's projection and the head.
        entered: tokens that entered the first block, as in `BlockTrace.alive`: fewer than were read
            where a step of the plan works on the input.
    """

    documents: int
    blocks: list[BlockTrace] = field(default_factory=list)
    other_macs: int = 0
    entered: Ragged | None = None

    @property
    def macs(self) -> int:
        """MACs of all matrix products, all documents together."""
        return self.encoder_macs + self.other_macs

    @property
    def encoder_macs(self) -> int:
        """MACs of the encoder's blocks, all documents together."""
        return sum(block.macs for block in self.blocks)

    def tokens_alive(self) -> list[list[int]]:
        """Return the tokens that went through each block's feed-forward, `[block][document]`."""
        return [block.transformed for block in self.blocks]


@torch.no_grad()
def connected_pairs(packing: Packing) -> list[float]:
    """Return the pairs that a pattern lets through, a figure a document, the mean of the heads."""
    rows = torch.arange(packing.layout.tokens, device=packing.layout.device)
    queries = rows.split(packing.layout.sizes)
    keys = packing.key_rows().split(packing.key_layout.sizes)
    filled = [None] * len(keys)
    if packing.keys is not None and packing.keys.filled is not None:
        filled = packing.keys.filled.split(packing.key_layout.sizes)
    counts = []
    for own, places, mask in zip(queries, keys, filled, strict=True):
        pairs = (own[None, None, :, None], places.t()[None, :, None, :])
        logs = packing.connections.logs
        seen = packing.connections.sees(*pairs) if logs is None else logs(*pairs).exp()
        if mask is not None:
            seen = seen * mask.t()[None, :, None, :]
        counts.append(float(seen.sum((2, 3)).double().mean()))
    return counts


def trace_of_block(
    block: int,
    cost: BlockCost,
    packing: Packing,
    after: Stream,
    importance: Tensor | None = None,
    *,
    detailed: bool = False,
) -> BlockTrace:
    """Return what a block of the encoder did, after its attention call was made.

    `detailed` tells of tokens and pairs what costs time to find out.
    """
    entered, left, pairs = packing.layout, after.layout, pairs_of(packing)
    macs = cost.total(entered.tokens, sum(pairs), left.tokens)
    keys = entered if packing.keys is None else packing.keys
    sizes = (entered.sizes, keys.sizes, left.sizes)
    record = BlockTrace(block, "block", *sizes, macs, pairs)
    if not detailed:
        return record
    return replace(
        record,
        alive=Ragged(after.origins, left),
        alive_keys=after.key_mask,
        importance=None if importance is None else Ragged(importance.detach(), entered),
        groups=None if after.groups is None else Ragged(after.groups, entered),
        connected=None if packing.connections is None else connected_pairs(packing),
    )
