"""What a block and a head cost, in MACs: the prices that trace and penalty count by.

Prices are for one token or one pair of a query and a key. How many of each there were, the trace
knows of what was computed, and the penalty of what counts as left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from tersely.attention import Packing
from tersely.backbones import Backbone, linear_cost
from tersely.reduction import Pattern, Step

__all__ = ["Prices", "cost_of_head", "dense_prices", "prices_of_block"]

Number = TypeVar("Number", int, Tensor)


@dataclass(frozen=True)
class Prices:
    """MACs of a block for each thing that it computes.

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
        """MACs for so many tokens and pairs, whole numbers or tensors."""
        return self.entering * entered + self.pair * pairs + self.leaving * left + self.fixed


def dense_prices(backbone: Backbone, layer: int) -> Prices:
    """What a block's MACs are paid for in the dense model."""
    attention, feed_forward = backbone.cost_of_block(layer)
    return Prices(attention, 2 * backbone.width, feed_forward)


def prices_of_block(
    backbone: Backbone,
    layer: int,
    packing: Packing,
    steps: Sequence[Step],
    pattern: Pattern | None,
) -> Prices:
    """What a block's MACs are paid for under a plan.

    Args:
        backbone: the encoder.
        layer: 0-based block.
        packing: its attention call, with what was asked of it.
        steps: the plan's steps at the block.
        pattern: its pattern, if it has one.
    """
    attention, feed_forward = backbone.cost_of_block(layer)
    heads, width, sizes = backbone.heads, backbone.width, packing.layout.sizes
    # Weights of keys ride on one more channel of each head's products.
    channels = 2 * (width + (0 if packing.weights is None else heads))
    if packing.scores is not None and packing.scores.kind not in ("max", "keys"):
        channels += heads  # a weighted column sum of the attention matrix of each head
    predicting = sum(step.score.cost_of_token(width) for step in steps if step.score)
    acting = sum(step.act.cost(sizes, width // heads) for step in steps)
    if pattern is not None:
        embedded = backbone.encoder.get_input_embeddings().embedding_dim
        acting += pattern.work(sizes, embedded)
    return Prices(attention + predicting, channels, feed_forward, acting)


def cost_of_head(model: nn.Module) -> int:
    """MACs of a model's head for each document, its encoder's pooler included."""
    if model.config.head == "mean":
        return model.backbone.width * model.num_labels
    pooler = getattr(model.encoder, "pooler", None)
    return linear_cost([model.head] if pooler is None else [model.head, pooler])
