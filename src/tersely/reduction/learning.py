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

from tersely.reduction.learned import Choice, Learned, Retention, Spent, ThresholdParameter
from tersely.reduction.parts import check, check_number, register
from tersely.reduction.selectors import (
    MOST,
    LinearRatio,
    Selector,
    Threshold,
    keep_count,
    mark_below,
    mark_lowest,
)
from tersely.reduction.stream import Candidates

__all__ = ["LearnedSelector", "LearnedShares", "LearnedSkim", "LearnedThreshold"]


@dataclass(frozen=True)
class LearnedSelector(Selector):
    """Learns how many tokens stay.

    Attributes:
        target: MACs to reach, over the dense model's; None for no target.
        strength: the penalty is `strength · (reached − target)²`, as in LTMP (arXiv 2307.10780),
            whose 10 is the default.
        regularizer: the penalty has this times the mean mask of all blocks as well, the λ of the
            papers on Learned Token Pruning and Transkimmer.
    """

    learns: ClassVar[bool] = True

    target: float | None = None
    strength: float = 10.0
    regularizer: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None:
            check_number("target", self.target, 0, 1, open_low=True)
        check_number("strength", self.strength, 0, 10_000)
        check_number("regularizer", self.regularizer, 0, 1000)

    def module(self, width: int, heads: int) -> Learned | None:
        """What it learns itself at one block; None where it is the scorer that learns."""
        return None

    def aimed(self, target: float) -> Self:
        """The same with another target."""
        return replace(self, target=target)

    def penalty(self, spent: Spent) -> Tensor | None:
        """How far the MACs are from the target, and how much stays."""
        terms = []
        if self.target is not None:
            terms.append(self.strength * (spent.ratio - self.target).square())
        if self.regularizer:
            terms.append(self.regularizer * self.size(torch.stack(spent.masks)))
        return torch.stack(terms).sum() if terms else None

    def size(self, masks: Tensor) -> Tensor:
        """What the regulariser is on, a scalar, from the mean mask of each block `(blocks,)`."""
        return masks.mean()

    def masked(self, candidates: Candidates, mask: Tensor) -> Tensor:
        """A mask `(tokens, 1)` with 1 for all tokens that cannot be chosen."""
        free = candidates.alive & ~candidates.pinned[:, None]
        return mask.masked_fill(~free, 1.0)


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
    """

    kind: ClassVar[str] = "learned-threshold"

    threshold: float = 0.5
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("threshold", self.threshold, 0, MOST)
        check_number("temperature", self.temperature, 0, 1000, open_low=True)

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
        return Choice(losers, self.masked(candidates, torch.sigmoid(over / self.temperature)))

    def frozen(self, modules: Sequence[Learned]) -> Threshold:
        """The thresholds as they were learned."""
        learned = [max(0.0, module.threshold.item()) for module in modules]
        return Threshold(pin=self.pin, thresholds=learned)


@register
@dataclass(frozen=True)
class LearnedShares(LearnedSelector):
    """PoWER-BERT (arXiv 2001.08950): how many of the best scored tokens stay is learned by block.

    The token that a block ranks k-th is multiplied by a retention parameter of that rank, between 0
    and 1, and the sum of a block's parameters is how many tokens it keeps. Ranks and sums are
    relative to the document's length here, in so many bins, where the paper has a parameter for
    each rank of a fixed length and keeps the same number of tokens in every document. As in the
    paper, no block keeps more than the one before.

    Attributes:
        bins: retention parameters of a block.
        regularizer: of the sum over blocks of the block's number times its mean mask.
    """

    kind: ClassVar[str] = "learned-shares"

    bins: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.bins, int) and not isinstance(self.bins, bool) and self.bins > 0
        check(whole, "bins", "a whole number above 0", self.bins)

    def module(self, width: int, heads: int) -> Retention:
        """The block's retention parameters."""
        return Retention(self.bins)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, 1)` bool: the lowest, until the block's share is left."""
        share = candidates.module.values().mean()
        return mark_lowest(
            candidates, candidates.counts - keep_count(candidates.lengths, share)[:, None]
        )

    def choose(self, candidates: Candidates) -> Choice:
        """Who goes, the mask, and how many count as left."""
        losers = self.losers(candidates)
        if not candidates.learning:
            return Choice(losers)
        retention = candidates.module.values()
        layout = candidates.layout
        rank = layout.ranks(candidates.scores[:, 0].detach())
        lengths = layout.lengths[layout.segment_ids]
        place = ((rank + 0.5) / lengths * self.bins).long().clamp(max=self.bins - 1)
        mask = self.masked(candidates, retention[place][:, None])
        left = None
        if candidates.expected is not None:
            # The running minimum in value; with its gradients, only the first block would ever be
            # pushed down.
            own = candidates.lengths * retention.mean()
            least = torch.minimum(candidates.expected, own).detach()
            left = least + (own - own.detach())
        return Choice(losers, mask, left)

    def size(self, masks: Tensor) -> Tensor:
        """Each block's mean mask times the block's number, as the paper weights them."""
        return (masks * torch.arange(1, len(masks) + 1, device=masks.device)).sum()

    def frozen(self, modules: Sequence[Learned]) -> LinearRatio:
        """The shares that were learned, none above the one before."""
        shares = torch.stack([module.values().mean() for module in modules]).detach()
        keeps = shares.cummin(0).values.clamp(min=1e-3).tolist()
        return LinearRatio(pin=self.pin, keeps=keeps)


@register
@dataclass(frozen=True)
class LearnedSkim(LearnedSelector):
    """Transkimmer (arXiv 2205.07324): tokens that a predictor finds less likely than not leave.

    The scores are probabilities that a token stays (`Predictor` with `output="probability"`). In
    training each gets Gumbel noise, and gradients come straight through. Ours draws noise in
    training alone, where the released code draws it in use too; tokens that leave are not read
    again at the end; and attention is masked on its logits, not on its weights after the softmax.

    Attributes:
        temperature: τ of the mask; the paper's 1.
        noise: whether to draw noise in training.
    """

    kind: ClassVar[str] = "learned-skim"

    temperature: float = 1.0
    noise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("temperature", self.temperature, 0, 1000, open_low=True)
        check(isinstance(self.noise, bool), "noise", "true or false", self.noise)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, 1)` bool; each document keeps its best one."""
        return mark_below(candidates, 0.5)

    def choose(self, candidates: Candidates) -> Choice:
        """Who goes, and in training the mask, both with the same noise."""
        if not candidates.learning:
            return Choice(self.losers(candidates))
        tiny = torch.finfo(candidates.scores.dtype).eps
        logits = torch.logit(candidates.scores, eps=tiny)
        if self.noise:
            # The difference of two Gumbel variables is logistic.
            logits = logits + torch.logit(torch.rand_like(logits), eps=tiny)
        mask = torch.sigmoid(logits / self.temperature)
        losers = self.losers(replace(candidates, scores=mask))
        return Choice(losers, self.masked(candidates, mask))

    def frozen(self, modules: Sequence[Learned | None]) -> Threshold:
        """A threshold of a half at every block."""
        return Threshold(pin=self.pin, thresholds=[0.5] * len(modules))
