"""The cost model: what blocks and heads cost in MACs, for the trace and for the penalty.

The penalty of what learns compares MACs with those of the dense model. They are counted as the
trace counts them, with the tokens that count as left in place of those that are: the figures agree,
and these carry gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tersely.attention import Packing
from tersely.backbones import Backbone, linear_cost
from tersely.reduction import BlockCost, Pattern, ResolvedPlan, Spent, Step, Stream


def dense_cost(backbone: Backbone, block: int) -> BlockCost:
    """Return what a block costs in the dense model."""
    attention, feed_forward = backbone.cost_of_block(block)
    return BlockCost(attention, 2 * backbone.width, feed_forward)


def cost_of_block(
    backbone: Backbone,
    block: int,
    packing: Packing,
    steps: Sequence[Step],
    pattern: Pattern | None,
) -> BlockCost:
    """Return what a block costs under a plan's steps and pattern, with its attention call."""
    attention, feed_forward = backbone.cost_of_block(block)
    heads, width, sizes = backbone.heads, backbone.width, packing.layout.sizes
    # Weights of keys ride on one more channel of each head's products.
    channels = 2 * (width + (0 if packing.weights is None else heads))
    if packing.scores is not None and packing.scores.kind not in ("max", "keys"):
        channels += heads  # a weighted column sum of the attention matrix of each head
    predicting = sum(step.score.cost_of_token(width) for step in steps if step.score)
    acting = sum(step.act.cost(sizes, width // heads) for step in steps)
    if pattern is not None:
        embedding = backbone.encoder.get_input_embeddings().embedding_dim
        acting += pattern.work(sizes, embedding)
    return BlockCost(attention + predicting, channels, feed_forward, acting)


def cost_of_head(model: nn.Module) -> int:
    """Return the MACs of a model's head for each document, its encoder's pooler included."""
    if model.config.head == "mean":
        return model.backbone.width * model.num_labels
    pooler = getattr(model.encoder, "pooler", None)
    return linear_cost([model.head] if pooler is None else [model.head, pooler])


def pairs_of(packing: Packing) -> list[int]:
    """Return the pairs of a query and a key that each head computed, a figure a document."""
    if packing.pairs:
        return list(packing.pairs)
    return [q * k for q, k in zip(packing.layout.sizes, packing.key_layout.sizes, strict=True)]


class Account:
    """Counts what a forward pass in training takes, differentiable in what selectors learn.

    Args:
        lengths: `(documents,)`, tokens of each document before anything left.
        dense: what the dense model's blocks cost.
    """

    def __init__(self, lengths: Tensor, dense: Sequence[BlockCost]) -> None:
        tokens = lengths.float()
        pairs = tokens.square().sum()
        self.dense = sum(cost.total(tokens.sum(), pairs, tokens.sum()) for cost in dense)
        self.taken = tokens.new_zeros(())
        self.masks: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.shares: list[Tensor] = []

    def add(
        self,
        cost: BlockCost,
        entered: Stream,
        pairs: list[int] | None = None,
        left: Tensor | None = None,
    ) -> None:
        """Count a block, its pairs a figure a document, and `left` of those that entered it.

        `left` `(documents,)` are tokens that count as left after it; None for none.
        """
        expected, lengths = entered.expected, entered.layout.lengths
        between = expected.new_zeros(())
        if pairs is not None:
            # As many fewer as there are fewer queries and keys.
            fewer = (expected / lengths).square()
            between = (torch.tensor(pairs, device=lengths.device) * fewer).sum()
        after = expected.new_zeros(()) if left is None else left.sum()
        self.taken = self.taken + cost.total(expected.sum(), between, after)

    def penalty(self, plan: ResolvedPlan, others: int) -> Tensor | None:
        """Return what the plan's parts add to the loss, a scalar; None for nothing.

        `others` are MACs beside the blocks, the same for the dense model.
        """
        spent = Spent((self.taken + others) / (self.dense + others), self.masks, self.shares)
        parts = [part for step in plan.whole for part in step.parts.values()]
        terms = [term for part in parts if (term := part.penalty(spent)) is not None]
        terms.extend(self.losses)
        return torch.stack(terms).sum() if terms else None
