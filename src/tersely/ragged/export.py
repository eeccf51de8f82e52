"""The layout that exporters follow: one document, whose length may be a symbol of a graph.

An exporter follows tensors and cannot follow Python's loops over lengths, numpy's sort, or a branch
on what a tensor holds. With one document there are no boundaries to loop over: a sum is a sum, a
sort is a sort, and how many tokens stay is the length of an index. The results are those of a
`Layout` of one document, ties included, which tests hold it to without any export.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from tersely.ragged.layout import Layout, Run
from tersely.ragged.order import lowest_of_columns

__all__ = ["ExportLayout"]


class ExportLayout(Layout):
    """The layout of a row that is one document.

    Args:
        tokens: its length, an integer or a symbol.
        device: where its tensors live.
    """

    symbolic = True

    def __init__(self, tokens: int, device: torch.device | str | None = None) -> None:
        super().__init__(torch.arange(2, device=device) * tokens, [tokens])

    def __len__(self) -> int:
        return 1

    @cached_property
    def tokens(self) -> int:
        """Tokens of the document."""
        return self.sizes[0]

    @cached_property
    def segment_ids(self) -> Tensor:
        """Zeros, `(tokens,)` int64."""
        return torch.zeros(self.tokens, dtype=torch.long, device=self.device)

    @cached_property
    def positions(self) -> Tensor:
        """Each token's place, `(tokens,)` int64."""
        return torch.arange(self.tokens, device=self.device)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The document itself."""
        return (Run(0, 1, self.tokens, 0),)

    def to(self, device: torch.device | str) -> Layout:
        """The same on another device."""
        return ExportLayout(self.tokens, device)

    def count(self, mask: Tensor) -> Tensor:
        """How many entries of `mask`, `(tokens, columns)` bool, are true, `(1, columns)`."""
        return mask.long().sum(0, keepdim=True)

    def keep(self, mask: Tensor, index: Tensor | None = None) -> Layout:
        """The layout that is left of the tokens at `index`, where `mask` is true."""
        index = mask.nonzero()[:, 0] if index is None else index
        kept = index.shape[0]
        if not isinstance(kept, int):
            # What the exporter cannot know: no step takes all tokens, none makes more.
            torch._check(kept >= 1)
            torch._check(kept <= self.tokens)
        return ExportLayout(kept, self.device)

    def of_equal(self, tokens: int) -> Layout:
        """One document of so many tokens."""
        return ExportLayout(tokens, self.device)

    def append(self, values: Tensor, extra: Tensor) -> tuple[Tensor, Layout]:
        """`values` with the rows of `extra` behind them, and the layout of that."""
        grown = ExportLayout(self.tokens + extra.shape[0], self.device)
        return torch.cat([values, extra.to(values.dtype)]), grown

    def sum(self, values: Tensor) -> Tensor:
        """Sum of the rows of `values`, `(1, columns)`."""
        return values.sum(0, keepdim=True)

    def sum_groups(self, values: Tensor, groups: Tensor, count: int) -> Tensor:
        """Sums of the rows of each group, `(groups, columns)`."""
        return values.new_zeros(count, values.shape[1]).index_add(0, groups, values)

    def sorted(self, values: Tensor) -> Tensor:
        """All entries of `values` in ascending order, float32, flat."""
        return values.detach().float().flatten().sort().values

    def lowest(self, values: Tensor, counts: Tensor) -> Tensor:
        """Mark the lowest `counts` `(1, columns)` of each column, the later ones among equals."""
        return lowest_of_columns(values, counts[0])

    def ranks(self, values: Tensor) -> Tensor:
        """The place of each token by `values` `(tokens,)`, the highest 0, the earlier if equal."""
        # A graph's sort leaves equals in any order, so pairs are compared, `(token, other)`.
        above = values[None] > values[:, None]
        tied_before = (values[None] == values[:, None]) & (
            self.positions[None] < self.positions[:, None]
        )
        return (above | tied_before).long().sum(1)
