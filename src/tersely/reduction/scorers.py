"""Scorers: how important is each token? All scores have mean 1 over a document's keys.

The scaling makes a threshold mean the same at 50 and at 5,000 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from tersely.ragged import Layout, Ragged
from tersely.reduction.learned import Learned
from tersely.reduction.parts import Part, check, check_number, register
from tersely.reduction.stream import Observed
from tersely.reduction.words import hashed

__all__ = [
    "AttentionScorer",
    "ByWord",
    "ColumnMean",
    "FirstRow",
    "HiddenChange",
    "Position",
    "RandomScore",
    "RowMax",
    "SampledRows",
    "Scorer",
]


@dataclass(frozen=True)
class Scorer(Part):
    """Scores the tokens of a block.

    Attributes:
        attention: what the block's attention should return for it, None for nothing.
        by_word: whether the model should keep the running importance of words for it.
    """

    role: ClassVar[str] = "score"
    attention: ClassVar[str | None] = None
    by_word: ClassVar[bool] = False

    @property
    def per_head(self) -> bool:
        """Whether each head has a score of its own."""
        return False

    @property
    def needs_block(self) -> bool:
        """Whether it looks at what a block's attention did, and so has no place outside of one."""
        return self.attention is not None

    @property
    def is_scaled(self) -> bool:
        """Whether scores have mean 1 in each document."""
        return True

    @property
    def needs_teaching(self) -> bool:
        """Whether it learns from nothing but a selector's masks."""
        return False

    def score(self, seen: Observed) -> Tensor:
        """Importance of each token, `(tokens, heads or 1)`, with mean 1 in each document."""
        raise TypeError(f"{type(self).__name__} does not score tokens")

    def lesson(self, seen: Observed, importance: Tensor) -> Tensor | None:
        """What is added to the loss in training for the scores it gave; None for nothing."""
        return None

    def cost_of_token(self, width: int) -> int:
        """MACs for each token of its own matrix products, beside the attention's."""
        return 0


@dataclass(frozen=True)
class AttentionScorer(Scorer):
    """A score from the block's attention.

    Attributes:
        heads: `"each"` for one score a head, so that each head may keep other tokens, or `"mean"`
            for their mean, shared by all.
        count_combination_tokens: whether the queries of combination tokens count.
        values: multiply what a head pays by the norm of the key's value in it, as in ATS
            (arXiv 2111.15667).
        gradients: let gradients flow through the scores, for a selector that learns.
    """

    heads: str = "mean"
    count_combination_tokens: bool = True
    values: bool = False
    gradients: bool = False

    def __post_init__(self) -> None:
        check(self.heads in ("each", "mean"), "heads", "'each' or 'mean'", self.heads)
        for name in ("count_combination_tokens", "values", "gradients"):
            flag = getattr(self, name)
            check(isinstance(flag, bool), name, "true or false", flag)

    @property
    def per_head(self) -> bool:
        """Whether each head has a score of its own."""
        return self.heads == "each"

    @property
    def is_distribution(self) -> bool:
        """Whether what attention returns sums to 1 already, and so has mean 1 when scaled."""
        return not self.values

    def frozen(self, modules: Sequence[Learned]) -> AttentionScorer:
        """The same without gradients."""
        return replace(self, gradients=False)

    def score(self, seen: Observed) -> Tensor:
        """What attention returned, `(tokens, heads or 1)`, with mean 1 in each document."""
        if self.is_distribution:
            return seen.attention
        return to_mean_one(seen.attention, seen.stream.layout, seen.stream.key_mask)


@register
@dataclass(frozen=True)
class ColumnMean(AttentionScorer):
    """Focus on the Core (arXiv 2406.01283) and Learned Token Pruning (arXiv 2107.00910).

    The mean attention that a key receives from all queries; ours has mean 1 over the document's
    keys, which leaves the order as it is.

    Attributes:
        diagonal: whether what a token pays to itself counts; PoWER-BERT (arXiv 2001.08950) leaves
            it out. Without it, keys cannot have been dropped before.
    """

    kind: ClassVar[str] = "column-mean"
    attention: ClassVar[str] = "column"

    diagonal: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check(isinstance(self.diagonal, bool), "diagonal", "true or false", self.diagonal)

    @property
    def is_distribution(self) -> bool:
        """Whether what attention returns sums to 1 already."""
        return self.diagonal and not self.values


@register
@dataclass(frozen=True)
class FirstRow(AttentionScorer):
    """The attention that [CLS] pays to a key; with `values`, ATS's score (arXiv 2111.15667)."""

    kind: ClassVar[str] = "first-row"
    attention: ClassVar[str] = "first"


@register
@dataclass(frozen=True)
class RowMax(AttentionScorer):
    """The most attention that any query pays to a key."""

    kind: ClassVar[str] = "row-max"
    attention: ClassVar[str] = "max"

    @property
    def is_distribution(self) -> bool:
        """Maxima do not sum to 1."""
        return False


@register
@dataclass(frozen=True)
class SampledRows(AttentionScorer):
    """The column mean over evenly spaced queries only: cheaper where the kernel is fused.

    Attributes:
        rows: how many queries of each document.
    """

    kind: ClassVar[str] = "sampled-rows"
    attention: ClassVar[str] = "sample"

    rows: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.rows, int) and not isinstance(self.rows, bool) and self.rows > 0
        check(whole, "rows", "a whole number above 0", self.rows)


@register
@dataclass(frozen=True)
class HiddenChange(Scorer):
    """How far the block's attention moved a token's state, relative to its size; no matrix."""

    kind: ClassVar[str] = "hidden-change"

    @property
    def needs_block(self) -> bool:
        """Outside of a block nothing has moved."""
        return True

    def score(self, seen: Observed) -> Tensor:
        """Importance of each token, `(tokens, 1)`, with mean 1 in each document."""
        before = seen.before.detach().float()
        moved = (seen.stream.hidden.detach().float() - before).norm(dim=1)
        size = before.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
        return to_mean_one((moved / size)[:, None], seen.stream.layout)


@register
@dataclass(frozen=True)
class Position(Scorer):
    """Earlier tokens are more important: what truncation believes; a control."""

    kind: ClassVar[str] = "position"

    def score(self, seen: Observed) -> Tensor:
        """Importance of each token, `(tokens, 1)`, with mean 1 in each document."""
        stream = seen.stream
        left = (stream.lengths[stream.layout.segment_ids] - stream.origins).float()
        return to_mean_one(left[:, None], stream.layout)


@register
@dataclass(frozen=True)
class RandomScore(Scorer):
    """Random importance, the same for a place in documents of the same length; a control.

    It is a hash and not a draw, so that a document loses the same tokens in any batch.

    Attributes:
        seed: another seed, other tokens.
    """

    kind: ClassVar[str] = "random"

    seed: int = 0

    def __post_init__(self) -> None:
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        check(whole, "seed", "a whole number", self.seed)

    def score(self, seen: Observed) -> Tensor:
        """Importance of each token, `(tokens, 1)`, with mean 1 in each document."""
        stream = seen.stream
        mixed = stream.origins + 1_000_003 * stream.lengths[stream.layout.segment_ids]
        mixed = hashed(mixed, self.seed)
        return to_mean_one(1 + mixed.float()[:, None], stream.layout)


@register
@dataclass(frozen=True)
class ByWord(Scorer):
    """Token dropping (arXiv 2203.13240): the running importance of the token's word in training.

    The paper's is the masked language model's loss, ours the length of the loss's gradient; see
    `tersely.reduction.vocabulary`. As there, a little noise decides between equals: words that were
    never seen, and several of one word.

    Attributes:
        noise: up to which share of the importance it adds.
    """

    kind: ClassVar[str] = "by-word"
    by_word: ClassVar[bool] = True

    noise: float = 0.01

    def __post_init__(self) -> None:
        check_number("noise", self.noise, 0, 1)

    def score(self, seen: Observed) -> Tensor:
        """Importance of each token, `(tokens, 1)`, with mean 1 in each document."""
        noisy = seen.words * (1 + self.noise * torch.rand_like(seen.words))
        return to_mean_one(noisy[:, None], seen.stream.layout)


def to_mean_one(scores: Tensor, layout: Layout, keys: Tensor | None = None) -> Tensor:
    """Scale scores of 0 or more, `(tokens, columns)`, to mean 1 over each document.

    Where all of a document's scores are 0, they stay so.

    Args:
        scores: of all tokens, 0 for those that are no keys.
        layout: the documents' boundaries.
        keys: the tokens that the mean is over, `(tokens,)` or `(tokens, heads)` bool: of the head
            that has most of them; None for all.
    """
    counts = layout.lengths
    if keys is not None:
        counts = layout.count(keys.view(keys.shape[0], -1)).amax(1)
    counts, sums = counts[:, None], Ragged(scores, layout).sum()
    # Below the smallest normal number a mean counts as 0: one over it is no longer finite.
    told_apart = sums > counts * torch.finfo(scores.dtype).tiny
    factors = counts / torch.where(told_apart, sums, 1)
    return scores * torch.where(told_apart, factors, 0)[layout.segment_ids]
