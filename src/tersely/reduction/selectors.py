"""Selectors: how many tokens stay, and which ones go?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from tersely.ragged import quantile_of_sorted
from tersely.reduction.learned import Choice, Spent
from tersely.reduction.parts import Part, check, check_number, register
from tersely.reduction.stream import Candidates

# Of a threshold: above any score, so that a search for one can go so far.
MOST = 1e6

__all__ = ["FuzzyRatio", "LengthDrop", "LinearRatio", "Ratio", "Selector", "Threshold"]


@dataclass(frozen=True)
class Selector(Part):
    """Chooses the tokens that go.

    Attributes:
        pin: tokens that stay whatever their score: `"ends"`, the first and last of a document
            ([CLS] and [SEP]), `"first"`, or `"none"`. The paper does not say; ends by default.
    """

    role: ClassVar[str] = "select"
    # Whether training draws other shares at each step, between this one and 1.
    randomised: ClassVar[bool] = False

    pin: str = "ends"

    def __post_init__(self) -> None:
        check(self.pin in ("ends", "first", "none"), "pin", "'ends', 'first' or 'none'", self.pin)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool."""
        raise TypeError(f"{type(self).__name__} does not choose tokens")

    def choose(self, candidates: Candidates) -> Choice:
        """Who goes, and where something is learned how near each token was to going."""
        return Choice(self.losers(candidates))

    @property
    def least(self) -> float:
        """The share of a document's tokens that stay at least, as far as that is known before."""
        return 0.0

    @property
    def is_adjustable(self) -> bool:
        """Whether `loosened` changes how many tokens stay."""
        return False

    def loosened(self, factor: float) -> Self:
        """The same with more tokens that stay for a factor above 1, fewer for one below."""
        return self

    def penalty(self, spent: Spent) -> Tensor | None:
        """What is added to the loss in training, a scalar; None for nothing."""
        return None


@register
@dataclass(frozen=True)
class Ratio(Selector):
    """Focus on the Core (arXiv 2406.01283), P: keep `floor(keep · t)` of t tokens, the best scored.

    At least one stays, a float's rounding is forgiven (0.7 · 90 is 63), ties go to the earlier
    token, and pinned tokens stay first.

    Attributes:
        keep: the preservation ratio p; the paper's 0.9.
    """

    kind: ClassVar[str] = "ratio"

    keep: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("keep", self.keep, 0, 1, open_low=True)

    @property
    def least(self) -> float:
        """The share of a document's tokens that stay at least; rounding takes one more at most."""
        return self.keep

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool."""
        counts = candidates.counts
        return mark_lowest(candidates, counts - keep_count(counts, self.keep))


@register
@dataclass(frozen=True)
class FuzzyRatio(Ratio):
    """Focus on the Core (arXiv 2406.01283), PF: ratio pruning of what is fuzzily unimportant only.

    With a and b the quantiles of a document's scores in all heads, importance is
    `clip((S − a)/(b − a), 0, 1)`; tokens that are important (its α-cut) and not unimportant (the
    α-cut of one minus it) are safe. The paper can be read in two ways, and both are here.

    Attributes:
        reading: `"layer"`: the layer's count falls to `floor(p·t)`, the losers drawn only from
            those not safe (fewer, if they are too few); with key sets per head this fits the
            paper's memory figures. `"complement"`: p applies to those not safe alone, about 3 % of
            the keys go. In both, at least one token stays.
        lower: quantile a; the paper's 0.25.
        upper: quantile b; the paper's 0.75.
        important: α-cut of importance; the paper's 0.01.
        unimportant: α-cut of unimportance; the paper's 0.9.
    """

    kind: ClassVar[str] = "fuzzy-ratio"

    reading: str = "layer"
    lower: float = 0.25
    upper: float = 0.75
    important: float = 0.01
    unimportant: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        readings = ("layer", "complement")
        check(self.reading in readings, "reading", "'layer' or 'complement'", self.reading)
        for name in ("lower", "upper", "important", "unimportant"):
            check_number(name, getattr(self, name), 0, 1)
        check(self.lower <= self.upper, "upper", f"at least lower ({self.lower})", self.upper)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool."""
        unsafe, layout = self.unsafe(candidates), candidates.layout
        counts = candidates.counts
        wanted = counts - keep_count(counts, self.keep)
        if self.reading == "complement":
            share = layout.count(unsafe)
            wanted = torch.minimum(share - floor_share(share, self.keep), counts - 1)
        # Unsafe tokens are the lowest ones of their head, so the lowest few of all are among them;
        # a pinned one of them stays, but no safe token goes in its place.
        free = layout.count(unsafe & ~candidates.pinned[:, None])
        return mark_lowest(candidates, torch.minimum(wanted, free))

    def unsafe(self, candidates: Candidates) -> Tensor:
        """Tokens that may be pruned, `(tokens, heads or 1)` bool: not important, or unimportant."""
        low, high = self._quantiles(candidates)  # (documents,) each
        segment_ids = candidates.layout.segment_ids
        low, high = low[segment_ids][:, None], high[segment_ids][:, None]
        spread = (high - low).clamp(min=torch.finfo(low.dtype).tiny)
        importance = ((candidates.scores - low) / spread).clamp(0, 1)
        safe = (importance >= self.important) & ~(1 - importance >= self.unimportant)
        return candidates.alive & ~safe

    def _quantiles(self, candidates: Candidates) -> list[Tensor]:
        """Quantiles a and b of the living tokens' scores in all heads, `(documents,)` each."""
        heads, layout = candidates.scores.shape[1], candidates.layout
        scores = candidates.scores.float().masked_fill(~candidates.alive, torch.inf)
        ordered = layout.sorted(scores)
        starts, lengths = layout.offsets[:-1] * heads, candidates.counts.sum(1)
        return [quantile_of_sorted(ordered, starts, lengths, q) for q in (self.lower, self.upper)]


@register
@dataclass(frozen=True)
class LinearRatio(Ratio):
    """Learned Token Pruning's baseline (arXiv 2107.00910): top-k with linear keep rates.

    At the k-th of the step's K blocks, `1 − (1 − keep)·k/K` of the document's first tokens are
    left, so that `keep` of them leave the last one.

    Attributes:
        keeps: a share for each of the step's blocks, in place of those; learned ones, for example.
    """

    kind: ClassVar[str] = "linear-ratio"

    keeps: list[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keeps is not None:
            object.__setattr__(self, "keeps", check_numbers("keeps", self.keeps, 1.0))

    def at_block(self, number: int, count: int) -> LinearRatio:
        """The same with the share that is left at this block."""
        if self.keeps is None:
            return replace(self, keep=1 - (1 - self.keep) * number / count)
        check_one_each("keeps", self.keeps, count)
        return replace(self, keep=self.keeps[number - 1], keeps=None)

    @property
    def is_adjustable(self) -> bool:
        """Whether `loosened` changes how many tokens stay."""
        return self.keeps is not None

    def loosened(self, factor: float) -> LinearRatio:
        """The same with its shares multiplied by a factor, 1 at most."""
        if self.keeps is None:
            return self
        return replace(self, keeps=[min(1.0, keep * factor) for keep in self.keeps])

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool."""
        stay = keep_count(candidates.lengths, self.keep)[:, None]
        return mark_lowest(candidates, candidates.counts - stay)


@register
@dataclass(frozen=True)
class LengthDrop(Ratio):
    """Length-Adaptive Transformer (arXiv 2010.07003): `⌈keep · t⌉` of the block's t tokens stay.

    At each of the step's blocks anew, so that lengths fall geometrically; training draws the shares
    of its blocks at random between `keep` and 1 (`tersely.training.sandwich`). The paper's lengths
    start from the longest document's; ours are shares of each document's own.

    Attributes:
        keep: what stays at a block at least; 1 − p with the paper's p of 0.2.
    """

    kind: ClassVar[str] = "length-drop"
    randomised: ClassVar[bool] = True

    keep: float = 0.8

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool."""
        counts = candidates.counts
        # A tensor, since exporters write a Python number as a float of 32 bits.
        share = torch.as_tensor(self.keep, dtype=torch.float64, device=counts.device)
        stay = (counts.double() * share - 1e-9).ceil().long()
        return mark_lowest(candidates, counts - stay)


@register
@dataclass(frozen=True)
class Threshold(Selector):
    """Learned Token Pruning's baseline (arXiv 2107.00910): manual thresholds that rise by block.

    At the k-th of the step's K blocks, tokens scored below `threshold · k/K` go. Ours are relative
    to the document's mean score, which is 1: the paper's threshold on `1/n`-scaled scores of a
    document of n tokens is ours over n (its code divides by the padded length N instead).

    Attributes:
        threshold: at the last of the step's blocks, in mean scores.
        thresholds: one for each of the step's blocks, in place of those; learned ones, for example.
    """

    kind: ClassVar[str] = "threshold"

    threshold: float = 0.5
    thresholds: list[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("threshold", self.threshold, 0, MOST)
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", check_numbers("thresholds", self.thresholds))

    def at_block(self, number: int, count: int) -> Threshold:
        """The same with this block's threshold."""
        if self.thresholds is None:
            return replace(self, threshold=self.threshold * number / count)
        check_one_each("thresholds", self.thresholds, count)
        return replace(self, threshold=self.thresholds[number - 1], thresholds=None)

    def losers(self, candidates: Candidates) -> Tensor:
        """The tokens that go, `(tokens, heads or 1)` bool; each document keeps its best one."""
        return mark_below(candidates, self.threshold)

    @property
    def is_adjustable(self) -> bool:
        """Whether `loosened` changes how many tokens stay."""
        return True

    def loosened(self, factor: float) -> Threshold:
        """The same with its thresholds divided by a factor."""
        if self.thresholds is None:
            return replace(self, threshold=self.threshold / factor)
        return replace(self, thresholds=[one / factor for one in self.thresholds])


def check_numbers(field: str, values: object, high: float = MOST) -> list[float]:
    """The numbers of a field as a list, or a `PlanError` for others."""
    check(isinstance(values, list | tuple) and len(values) > 0, field, "a list of numbers", values)
    for value in values:
        check_number(field, value, 0, high)
    return list(values)


def check_one_each(field: str, values: list[float], blocks: int) -> None:
    """Raise a `PlanError` unless there is one value for each block."""
    check(len(values) == blocks, field, f"one for each of the step's {blocks} blocks", values)


def floor_share(counts: Tensor, keep: float | Tensor) -> Tensor:
    """`floor(keep · counts)`, forgiving what a float's rounding takes off a whole number."""
    # A tensor, since exporters write a Python number as a float of 32 bits.
    share = torch.as_tensor(keep, dtype=torch.float64, device=counts.device)
    return (counts.double() * share + 1e-9).floor().long()


def keep_count(counts: Tensor, keep: float | Tensor) -> Tensor:
    """How many of `counts` tokens stay: `floor(keep · counts)`, at least one."""
    return floor_share(counts, keep).clamp(min=1)


def mark_below(candidates: Candidates, threshold: float | Tensor) -> Tensor:
    """Mark the living tokens scored below a threshold that are not pinned, but never all.

    Returns:
        `(tokens, heads or 1)` bool.
    """
    free = candidates.alive & ~candidates.pinned[:, None]
    low = free & (candidates.scores.detach() < threshold)
    wanted = torch.minimum(candidates.layout.count(low), candidates.counts - 1)
    return mark_lowest(candidates, wanted)


def mark_lowest(candidates: Candidates, wanted: Tensor) -> Tensor:
    """Mark the lowest scored living tokens that are not pinned.

    Args:
        candidates: the tokens.
        wanted: `(documents, heads or 1)` int64, how many should go; fewer do where too few may.

    Returns:
        `(tokens, heads or 1)` bool.
    """
    free = candidates.alive & ~candidates.pinned[:, None]
    wanted = torch.minimum(wanted.clamp(min=0), candidates.layout.count(free))
    scores = candidates.scores.detach().masked_fill(~free, torch.inf)
    return candidates.layout.lowest(scores, wanted)
