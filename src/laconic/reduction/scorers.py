"""Scorers: how important is each token? All are scaled to mean 1 over a document's keys.

The scaling makes a threshold mean the same at 50 and at 5,000 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from laconic.reduction.parts import Part, check, register

__all__ = ["ColumnMean", "FirstRow", "SampledRows", "Scorer"]


@dataclass(frozen=True)
class Scorer(Part):
    """What a block's attention should return for the choice of tokens.

    Attributes:
        heads: `"each"` for one score a head, so that each head may keep other tokens, or `"mean"`
            for their mean, shared by all.
        count_combination_tokens: whether the queries of combination tokens count.
    """

    role: ClassVar[str] = "score"
    attention: ClassVar[str]

    heads: str = "mean"
    count_combination_tokens: bool = True

    def __post_init__(self) -> None:
        check(self.heads in ("each", "mean"), "heads", "'each' or 'mean'", self.heads)
        flag = self.count_combination_tokens
        check(isinstance(flag, bool), "count_combination_tokens", "true or false", flag)

    @property
    def per_head(self) -> bool:
        """Whether each head has a score of its own."""
        return self.heads == "each"


@register
@dataclass(frozen=True)
class ColumnMean(Scorer):
    """Focus on the Core (arXiv 2406.01283): the mean attention a key receives from all queries.

    Ours is scaled to mean 1 over the document's keys, which leaves the order as it is.
    """

    kind: ClassVar[str] = "column-mean"
    attention: ClassVar[str] = "column"


@register
@dataclass(frozen=True)
class FirstRow(Scorer):
    """The attention that [CLS] pays to a key, as in ATS (arXiv 2111.15667), without value norms."""

    kind: ClassVar[str] = "first-row"
    attention: ClassVar[str] = "first"


@register
@dataclass(frozen=True)
class SampledRows(Scorer):
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
