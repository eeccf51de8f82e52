"""PoWER-BERT (S. Goyal et al., ICML 2020, arXiv 2001.08950): each block's share is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tersely.methods.ltp import Fade
from tersely.methods.topk import LinearRatio
from tersely.reduction import Candidates, Choice, ColumnMean, Plan, Step, Stream, register_preset
from tersely.reduction.parts import Budget, Learned, Range, numbers, register, whole
from tersely.reduction.selectors import (
    LEAST,
    LearnedSelector,
    check_one_each,
    keep_count,
    mark_lowest,
)


class Retention(Learned):
    """The retention parameters of one block, between 0 and 1; all tokens stay at the start.

    Args:
        bins: how many.
    """

    # They have to come down from 1 within a stage of training.
    learning_rate = 0.02

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.retention = nn.Parameter(torch.empty(bins))
        self.start()

    def start(self) -> None:
        """Set them to 1."""
        nn.init.ones_(self.retention)

    def values(self) -> Tensor:
        """Return the parameters, `(bins,)`, back inside of their bounds."""
        if self.training:
            with torch.no_grad():
                self.retention.clamp_(0, 1)
        return self.retention.clamp(0, 1)


@register("fade-states")
class FadeStates(Fade):
    """The soft stage of PoWER-BERT (arXiv 2001.08950): it fades what goes into the feed-forward."""

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        """Return the stream with its states faded."""
        return replace(stream, hidden=stream.hidden * mask.to(stream.hidden.dtype))


@register("block-ratio")
class BlockRatio(LinearRatio):
    """Shares of the document's first tokens that are left, one for each of the step's blocks.

    Attributes:
        keeps: the shares, such as were learned; None for those of `LinearRatio`.
    """

    budget = None

    keeps: list[float] | None = numbers(1.0)

    def at_block(self, number: int, count: int) -> BlockRatio:
        """Return the same with the share that is left at this block."""
        if self.keeps is None:
            return super().at_block(number, count)
        check_one_each("keeps", self.keeps, count)
        return replace(self, keep=self.keeps[number - 1], keeps=None)

    @property
    def is_adjustable(self) -> bool:
        """Whether its shares are numbers of their own."""
        return self.keeps is not None

    def loosened(self, factor: float) -> BlockRatio:
        """Return the same with its shares times a factor, 1 at most."""
        return replace(self, keeps=[min(1.0, keep * factor) for keep in self.keeps])


@register("learned-shares")
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

    bins: int = whole(100)

    def module(self, width: int, heads: int) -> Retention:
        """Return the block's retention parameters."""
        return Retention(self.bins)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, 1)` bool: the lowest, until the block's share is left."""
        share = candidates.module.values().mean()
        return mark_lowest(
            candidates,
            candidates.counts - keep_count(candidates.lengths, share, self.least)[:, None],
        )

    def choose(self, candidates: Candidates) -> Choice:
        """Return who goes, the mask, and how many count as left."""
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
            floor = candidates.lengths.clamp(max=self.least)
            least = torch.minimum(candidates.expected, torch.maximum(own, floor)).detach()
            left = least + (own - own.detach())
        return Choice(losers, mask, left)

    def size(self, masks: Tensor) -> Tensor:
        """Return each block's mean mask times the block's number, as the paper weights them."""
        return (masks * torch.arange(1, len(masks) + 1, device=masks.device)).sum()

    def frozen(self, modules: Sequence[Learned]) -> BlockRatio:
        """Return the shares that were learned, none above the one before."""
        shares = torch.stack([module.values().mean() for module in modules]).detach()
        keeps = shares.cummin(0).values.clamp(min=1e-3).tolist()
        return BlockRatio(pin=self.pin, least=self.least, keeps=keeps)


@register_preset(
    "power-bert", budget=Budget("target", Range(0.0, 1.0)), examples={"": {"bins": 10}}
)
def power_bert(
    target: float = 0.5,
    strength: float = 10.0,
    bins: int = 100,
    regularizer: float = 0.0,
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Learn the share of tokens that every block keeps (PoWER-BERT, arXiv 2001.08950)."""
    select = LearnedShares(
        pin=pin, least=least, target=target, strength=strength, bins=bins, regularizer=regularizer
    )
    score = ColumnMean(diagonal=False)
    return Plan("power-bert", (Step(FadeStates(), {"start": 0}, score, select),))
