"""Selectors: how many tokens stay, and which ones go?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from tersely.reduction.parts import (
    Budget,
    Part,
    Range,
    Spent,
    check,
    number,
    numbers,
    one_of,
    register,
    whole,
)
from tersely.reduction.stream import Candidates, Choice

# Of a threshold: above any score, so that a search for one can go so far.
MOST = 1e6

BY_SHARE = Budget("keep", Range(0.01, 1.0))
"""Of methods that keep a share of the tokens."""

BY_THRESHOLD = Budget("threshold", Range(0.0, 10.0))
"""Of methods that drop what is scored below a threshold."""

# Tokens that a document keeps at least, unless it is told otherwise. A share has no mercy on short
# texts: 0.4 of [CLS], one word and [SEP] is [CLS] alone; and they are little of a batch's work.
LEAST = 16


@dataclass(frozen=True)
class Selector(Part):
    """Chooses the tokens that go.

    Attributes:
        pin: tokens that stay whatever their score: `"ends"`, the first and last of a document
            ([CLS] and [SEP]), `"first"`, or `"none"`. The paper does not say; ends by default.
        least: tokens that a document keeps at least; who has no more loses none.
    """

    role: ClassVar[str] = "select"
    randomised: ClassVar[bool] = False  # training draws other shares, between this one and 1
    is_adjustable: ClassVar[bool] = False  # `loosened` changes how many tokens stay
    target: ClassVar[float | None] = None  # MACs over the dense model's that it learns to reach

    pin: str = one_of("ends", "first", "none", default="ends")
    least: int = whole(LEAST)

    def losers(self, candidates: Candidates) -> Tensor:
        """Return the tokens that go, `(tokens, heads or 1)` bool."""
        raise TypeError(f"{type(self).__name__} must define losers")

    def choose(self, candidates: Candidates) -> Choice:
        """Return who goes, and where something is learned how near each token was to going."""
        return Choice(self.losers(candidates))

    @property
    def share_left(self) -> float:
        """The share of a document's tokens that stay at least, as far as that is known before."""
        return 0.0

    def loosened(self, factor: float) -> Self:
        """Return the same with more tokens that stay for a factor above 1, fewer for one below."""
        return self

    def aimed(self, target: float) -> Self:
        """Return the same with another target, where it has one."""
        return self


@register("ratio")
class Ratio(Selector):
    """Focus on the Core (arXiv 2406.01283), P: keep `floor(keep · t)` of t tokens, the best scored.

    A float's rounding is forgiven (0.7 · 90 is 63), ties go to the earlier token, and pinned tokens
    stay first.
    """

    budget = BY_SHARE

    keep: float = number(0.9, 0, 1, open_low=True)  # the preservation ratio p; the paper's 0.9

    @property
    def share_left(self) -> float:
        """The share of a document's tokens that stay at least; rounding takes one more at most."""
        return self.keep

    def losers(self, candidates: Candidates) -> Tensor:
        counts = candidates.counts
        return mark_lowest(candidates, counts - keep_count(counts, self.keep, self.least))


@register("threshold")
class Threshold(Selector):
    """Learned Token Pruning's baseline (arXiv 2107.00910): manual thresholds that rise by block.

    At the k-th of the step's K blocks, tokens scored below `threshold · k/K` go. Ours are relative
    to the document's mean score, which is 1: the paper's threshold on `1/n`-scaled scores of a
    document of n tokens is ours over n (its code divides by the padded length N instead).
    """

    is_adjustable = True

    threshold: float = number(0.5, 0, MOST)  # at the last of the step's blocks, in mean scores
    thresholds: list[float] | None = numbers(MOST)  # learned ones say, of each block its own

    def at_block(self, number: int, count: int) -> Self:
        if self.thresholds is None:
            return replace(self, threshold=self.threshold * number / count)
        check_one_each("thresholds", self.thresholds, count)
        return replace(self, threshold=self.thresholds[number - 1], thresholds=None)

    def losers(self, candidates: Candidates) -> Tensor:
        return mark_below(candidates, self.threshold, self.least)

    @property
    def budget(self) -> Budget | None:
        """The threshold, unless each block has its own."""
        return BY_THRESHOLD if self.thresholds is None else None

    def loosened(self, factor: float) -> Self:
        if self.thresholds is None:
            return replace(self, threshold=self.threshold / factor)
        return replace(self, thresholds=[one / factor for one in self.thresholds])


def check_one_each(field: str, values: Sequence[object], blocks: int) -> None:
    """Raise a `PlanError` unless there is one value for each block."""
    check(len(values) == blocks, field, f"one for each of the step's {blocks} blocks", values)


def floor_share(counts: Tensor, keep: float) -> Tensor:
    """Return `floor(keep · counts)`, forgiving what a float's rounding takes off a whole number."""
    # A tensor, since exporters write a Python number as a float of 32 bits.
    share = torch.as_tensor(keep, dtype=torch.float64, device=counts.device)
    return (counts.double() * share + 1e-9).floor().long()


def keep_count(counts: Tensor, keep: float, least: int) -> Tensor:
    """Return how many of `counts` tokens stay: `floor(keep · counts)`, at least so many."""
    return floor_share(counts, keep).clamp(min=least)


def mark_below(candidates: Candidates, threshold: float | Tensor, least: int) -> Tensor:
    """Mark the tokens below a threshold, as `mark_lowest` does, but leave `least`."""
    low = candidates.free & (candidates.scores.detach() < threshold)
    wanted = torch.minimum(candidates.layout.count(low), candidates.counts - least)
    return mark_lowest(candidates, wanted)


def mark_lowest(candidates: Candidates, wanted: Tensor) -> Tensor:
    """Mark the lowest scored living tokens that are not pinned, `(tokens, heads or 1)` bool.

    As many as are wanted of each document, `(documents, heads or 1)` int64, or as may go.
    """
    free = candidates.free
    wanted = torch.minimum(wanted.clamp(min=0), candidates.layout.count(free))
    scores = candidates.scores.detach().masked_fill(~free, torch.inf)
    return candidates.layout.lowest(scores, wanted)


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

    learns = True

    target: float | None = number(None, 0, 1, open_low=True)
    strength: float = number(10.0, 0, 10_000)
    regularizer: float = number(0.0, 0, 1000)

    def aimed(self, target: float) -> Self:
        return replace(self, target=target)

    def penalty(self, spent: Spent) -> Tensor | None:
        terms = []
        if self.target is not None:
            terms.append(self.strength * (spent.ratio - self.target).square())
        if self.regularizer:
            terms.append(self.regularizer * self.size(torch.stack(spent.masks)))
        return torch.stack(terms).sum() if terms else None

    def size(self, masks: Tensor) -> Tensor:
        """Return what the regulariser is on, a scalar, from each block's mean mask `(blocks,)`."""
        return masks.mean()

    def masked(self, candidates: Candidates, mask: Tensor) -> Tensor:
        """Return a mask `(tokens, 1)` with 1 for all tokens that cannot be chosen."""
        return mask.masked_fill(~candidates.free, 1.0)
