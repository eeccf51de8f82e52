"""What parts of a plan learn: a small module for each block, and what it is taught by.

A part that learns brings a `Learned` module for each block that it acts at. The model holds them,
trains them with the encoder and saves them with the weights. A selector that learns says in
training how near each token was to going; this is where gradients enter, since who goes is a
choice without any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from tersely.ragged import Layout, Ragged

__all__ = ["Choice", "Learned", "Spent", "straight_through"]


class Learned(nn.Module):
    """What a part learns at one block.

    Attributes:
        learning_rate: its peak, in place of the encoder's; None for that one. It is not decayed.
    """

    learning_rate: ClassVar[float | None] = None

    def start(self) -> None:
        """Set the weights to what training starts from."""
        raise TypeError(f"{type(self).__name__} does not say what its weights start from")


@dataclass(frozen=True)
class Choice:
    """What a selector chose.

    Attributes:
        losers: `(tokens, heads or 1)` bool, who goes.
        mask: `(tokens, 1)` in [0, 1], differentiable: how much of each token stays. None where
            nothing is learned.
        left: `(documents,)`, how many tokens count as left of each document, differentiable; None
            for those that stay, with the mask's gradients.
    """

    losers: Tensor
    mask: Tensor | None = None
    left: Tensor | None = None


@dataclass
class Spent:
    """What a forward pass took, differentiable in what selectors learn.

    Attributes:
        ratio: MACs over those of the dense model on the same documents, a scalar.
        masks: the mean mask of each block that has one, scalars, first block first.
        shares: of each block whose pattern is learned the share of the pairs that is connected.
    """

    ratio: Tensor
    masks: list[Tensor] = field(default_factory=list)
    shares: list[Tensor] = field(default_factory=list)


def straight_through(mask: Tensor) -> Tensor:
    """Ones, exactly, with the gradients of `mask`."""
    return 1 + (mask - mask.detach())


def expected_left(
    before: Tensor, entered: Layout, left: Layout, mask: Tensor | None, soft: bool = False
) -> Tensor:
    """Tokens left of each document, `(documents,)`, with the gradients of a mask.

    Args:
        before: `(documents,)`, those that entered, differentiable.
        entered: the layout before anything left.
        left: the layout after it.
        mask: `(tokens, 1)` of those that entered, None for no gradients.
        soft: count tokens by their masks, and not those that are there.
    """
    stayed = left.lengths.to(before.dtype)
    if mask is not None:
        sums = Ragged(mask, entered).sum()[:, 0]
        stayed = sums if soft else stayed + (sums - sums.detach())
    return before * (stayed / entered.lengths.clamp(min=1))


class Retention(Learned):
    """The retention parameters of one block, between 0 and 1; all tokens stay at the start.

    Args:
        bins: how many.
    """

    # They have to come down from 1 within a stage of training.
    learning_rate: ClassVar[float] = 0.02

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.retention = nn.Parameter(torch.empty(bins))
        self.start()

    def start(self) -> None:
        """Set them to 1."""
        nn.init.ones_(self.retention)

    def values(self) -> Tensor:
        """The parameters, `(bins,)`, back inside of their bounds."""
        if self.training:
            with torch.no_grad():
                self.retention.clamp_(0, 1)
        return self.retention.clamp(0, 1)


class ThresholdParameter(Learned):
    """One threshold, at one block.

    Args:
        start: what it starts from.
    """

    # In mean scores: a threshold of 0.5 can become 0 or 1 within some hundred steps.
    learning_rate: ClassVar[float] = 0.01

    def __init__(self, start: float) -> None:
        super().__init__()
        self.first = start
        self.threshold = nn.Parameter(torch.empty(()))
        self.start()

    def start(self) -> None:
        """Set the threshold to what it starts from."""
        nn.init.constant_(self.threshold, self.first)
