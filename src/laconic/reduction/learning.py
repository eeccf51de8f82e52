"""Selectors that learn how many tokens stay, by what the loss and a target for the cost say.

In training they give a mask beside the losers: how near each token was to going. Trained, they are
frozen to selectors of plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from laconic.reduction.learned import Choice, Learned, Spent, ThresholdParameter
from laconic.reduction.parts import check_number, register
from laconic.reduction.selectors import MOST, Selector, Threshold, mark_below
from laconic.reduction.stream import Candidates

__all__ = ["LearnedSelector", "LearnedThreshold"]


@dataclass(frozen=True)
class LearnedSelector(Selector):
    """Learns how many tokens stay.

    Attributes:
        target: multiply-adds to reach, over the dense model's; None for no target.
        strength: the penalty is `strength · (reached − target)²`, as in LTMP (TMLR 2023), whose 10
            is the default.
    """

    learns: ClassVar[bool] = True

    target: float | None = None
    strength: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None:
            check_number("target", self.target, 0, 1, open_low=True)
        check_number("strength", self.strength, 0, 10_000)

    def aimed(self, target: float) -> Self:
        """The same with another target."""
        return replace(self, target=target)

    def penalty(self, spent: Spent) -> Tensor | None:
        """How far the multiply-adds are from the target."""
        if self.target is None:
            return None
        return self.strength * (spent.ratio - self.target).square()


@register
@dataclass(frozen=True)
class LearnedThreshold(LearnedSelector):
    """Learned Token Pruning (arXiv 2107.00910): a threshold on the score is learned at each block.

    Ours removes in training what falls below, with straight-through gradients (`DropTokens`), so
    that training and use compute the same; the paper's soft masks are there with `Fade`. The mask
    of a token with score s is `σ((s − threshold) / temperature)`. Thresholds are in mean scores:
    the paper's threshold on scores of mean 1/n, in a document of n tokens, is ours over n, and that
    of its code, which divides by the padded length N, ours over N.

    Attributes:
        threshold: at the last of the step's blocks, at the start; it rises linearly up to there.
        temperature: T, in mean scores; LTMP's 0.1 by default. The paper's 0.001 on its code's scale
            with N = 128 is 0.128.
        regularizer: λ of the paper's penalty, the mean mask of all blocks; its example is 0.1.
    """

    kind: ClassVar[str] = "learned-threshold"

    threshold: float = 0.5
    temperature: float = 0.1
    regularizer: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("threshold", self.threshold, 0, MOST)
        check_number("temperature", self.temperature, 0, 1000, open_low=True)
        check_number("regularizer", self.regularizer, 0, 1000)

    def at_block(self, number: int, count: int) -> Self:
        """The same with this block's threshold to start from."""
        return replace(self, threshold=self.threshold * number / count)

    def module(self, width: int, heads: int) -> ThresholdParameter:
        """The block's threshold."""
        return ThresholdParameter(self.threshold)

    @property
    def is_adjustable(self) -> bool:
        """Whether `loosened` changes how many tokens stay."""
        return True

    def loosened(self, factor: float) -> Self:
        """The same, starting from its threshold divided by a factor."""
        return replace(self, threshold=self.threshold / factor)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, 1)` bool; each document keeps its best one."""
        return mark_below(candidates, candidates.module.threshold)

    def choose(self, candidates: Candidates) -> Choice:
        """Who goes, and in training the mask."""
        losers = self.losers(candidates)
        if not candidates.learning:
            return Choice(losers)
        over = candidates.scores - candidates.module.threshold
        mask = torch.sigmoid(over / self.temperature)
        free = candidates.alive & ~candidates.pinned[:, None]
        return Choice(losers, mask.masked_fill(~free, 1.0))

    def penalty(self, spent: Spent) -> Tensor | None:
        """The distance from the target, or the paper's mean mask."""
        aimed = super().penalty(spent)
        if not self.regularizer:
            return aimed
        size = self.regularizer * torch.stack(spent.masks).mean()
        return size if aimed is None else aimed + size

    def frozen(self, modules: Sequence[Learned]) -> Threshold:
        """The thresholds as they were learned."""
        learned = [max(0.0, module.threshold.item()) for module in modules]
        return Threshold(pin=self.pin, thresholds=learned)
