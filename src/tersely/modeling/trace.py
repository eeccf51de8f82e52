"""The trace: what every block really computed, and what it cost; and the penalty on it.

The penalty of what learns compares MACs with those of the dense model. They are counted as the
trace counts them, with the tokens that count as left in place of those that are: the figures agree,
and these carry gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from tersely.attention import Packing
from tersely.backbones import linear_cost
from tersely.backbones.base import Backbone
from tersely.ragged import Ragged
from tersely.reduction import BlockCost, ResolvedPlan, Spent, Stream


@dataclass(frozen=True)
class BlockTrace:
    """What one block did; lists hold a figure a document.

    Attributes:
        pairs: of a query and a key that each head computed: fewer than `queries · keys` where a
            kernel skips what a band leaves out, more where keys are hidden in their places.
        alive: tokens that left the block: their places in the original document, −1 for
            combination tokens; `(tokens,)`.
        alive_keys: which of them are still keys of the next block: `(tokens,)` or `(tokens, heads)`
            bool, None for all.
        importance: scores of the tokens that entered, with mean 1, `(tokens, heads or 1)`, or None.
        groups: where tokens became one: for `"combine"` the combination token that took each of the
            document's own tokens in; for a block that merges, the place among the tokens that left
            it in which each token that entered is now. None elsewhere.
        connected: the pairs that the plan's pattern lets through, the mean of the heads, or the sum
            of their weights while it is being learned. An encoder's own windows are not counted.
    """

    block: int  # from 0
    kind: str  # `"block"`, or of the action whose module stands in its place (`"combine"`)
    queries: list[int]  # tokens that entered
    keys: list[int]  # of the head that has most of them
    transformed: list[int]  # tokens that went through the feed-forward
    macs: int  # all documents together
    pairs: list[int] = field(default_factory=list)
    alive: Ragged | None = None
    alive_keys: Tensor | None = None
    importance: Ragged | None = None
    groups: Ragged | None = None
    connected: list[float] | None = None


@dataclass
class Trace:
    """What a forward pass computed, block by block.

    `entered` are the tokens that entered the first block, as in `BlockTrace.alive`: fewer than were
    read where a step of the plan works on the input, the first of which chose by `importance`.
    """

    blocks: list[BlockTrace] = field(default_factory=list)
    other_macs: int = 0  # of the embedding's projection and the head
    entered: Ragged | None = None
    importance: Ragged | None = None

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
    places, sizes = packing.key_rows(), packing.key_layout.sizes
    filled = torch.ones_like(places, dtype=torch.bool)
    if packing.keys is not None and packing.keys.filled is not None:
        filled = packing.keys.filled
    parts = (rows.split(packing.layout.sizes), places.split(sizes), filled.split(sizes))
    logs, counts = packing.connections.logs, []
    for own, *columns in zip(*parts, strict=True):
        keys, mask = (column.t()[None, :, None, :] for column in columns)
        pairs = (own[None, None, :, None], keys)
        seen = packing.connections.sees(*pairs) if logs is None else logs(*pairs).exp()
        counts.append(float((seen * mask).sum((2, 3)).double().mean()))
    return counts


def trace_of_block(
    block: int,
    cost: BlockCost,
    packing: Packing,
    after: Stream,
    importance: Tensor | None,
    detailed: bool,
) -> BlockTrace:
    """Return what a block of the encoder did; `detailed` with what costs time to find out."""
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


def dense_cost(backbone: Backbone, block: int) -> BlockCost:
    """Return what a block costs in the dense model."""
    attention, feed_forward = backbone.cost_of_block(block)
    return BlockCost(attention, 2 * backbone.width, feed_forward)


def cost_of_block(model: nn.Module, block: int, packing: Packing) -> BlockCost:
    """Return what a block costs under a model's plan, with its attention call."""
    dense, steps = model.dense_costs[block], model.plan.at(block)
    heads, width, sizes = model.backbone.heads, model.backbone.width, packing.layout.sizes
    # Weights of keys ride on one more channel of each head's products.
    channels = dense.pair + (0 if packing.weights is None else 2 * heads)
    if packing.scores is not None and packing.scores.kind != "keys":
        channels += heads  # a weighted column sum of the attention matrix of each head
    predicting = sum(step.score.cost_of_token(width) for step in steps if step.score)
    acting = sum(step.act.cost(sizes, width, heads) for step in steps)
    if (pattern := model.plan.patterns.get(block)) is not None:
        acting += pattern.work(sizes, model.encoder.get_input_embeddings().embedding_dim)
    return BlockCost(dense.entering + predicting, channels, dense.leaving, acting)


def cost_of_head(model: nn.Module) -> int:
    """Return the MACs of a model's head for each document, its encoder's pooler included."""
    if model.config.head == "mean":
        return model.backbone.width * model.num_labels
    pooler = getattr(model.encoder, "pooler", None)
    return linear_cost(model.head) + (0 if pooler is None else linear_cost(pooler))


def pairs_of(packing: Packing) -> list[int]:
    """Return the pairs of a query and a key that each head computed, a figure a document."""
    if packing.pairs:
        return list(packing.pairs)
    return [q * k for q, k in zip(packing.layout.sizes, packing.key_layout.sizes, strict=True)]


class Account:
    """Counts what a forward pass in training takes, differentiable in what selectors learn.

    Means of masks, further losses and shares of pairs are added to its lists.
    """

    def __init__(self, lengths: Tensor, dense: Sequence[BlockCost]) -> None:
        tokens = lengths.float()
        pairs = tokens.square().sum()
        self.dense = sum(cost.total(tokens.sum(), pairs, tokens.sum()) for cost in dense)
        self.taken = tokens.new_zeros(())
        lists: tuple[list[Tensor], ...] = ([], [], [])
        self.masks, self.losses, self.shares = lists

    def add(
        self,
        cost: BlockCost,
        entered: Stream,
        pairs: list[int] | None = None,
        left: Tensor | None = None,
    ) -> None:
        """Count a block, its pairs a figure a document, and the tokens left, `(documents,)`."""
        expected, lengths = entered.expected, entered.layout.lengths
        between = expected.new_zeros(())
        if pairs is not None:
            # As many fewer as there are fewer queries and keys.
            fewer = (expected / lengths).square()
            between = (torch.tensor(pairs, device=lengths.device) * fewer).sum()
        after = expected.new_zeros(()) if left is None else left.sum()
        self.taken = self.taken + cost.total(expected.sum(), between, after)

    def penalty(self, plan: ResolvedPlan, others: int) -> Tensor | None:
        """Return what the plan's parts add to the loss, a scalar; `others` are MACs of no block."""
        spent = Spent((self.taken + others) / (self.dense + others), self.masks, self.shares)
        parts = [part for step in plan.whole for part in step.parts.values()]
        terms = [term for part in parts if (term := part.penalty(spent)) is not None]
        terms.extend(self.losses)
        return torch.stack(terms).sum() if terms else None
