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


class ExportLayout(Layout):
    """The layout of a row that is one document of `tokens` tokens, an integer or a symbol.

    Each method does what that of `Layout` does.
    """

    symbolic = True

    def __init__(self, tokens: int, device: torch.device | str | None = None) -> None:
        super().__init__(torch.arange(2, device=device) * tokens, [tokens])

    def __len__(self) -> int:
        return 1

    @cached_property
    def tokens(self) -> int:
        return self.sizes[0]

    @cached_property
    def segment_ids(self) -> Tensor:
        return torch.zeros(self.tokens, dtype=torch.long, device=self.device)

    @cached_property
    def positions(self) -> Tensor:
        return torch.arange(self.tokens, device=self.device)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        return (Run(0, 1, self.tokens, 0),)

    def count(self, mask: Tensor) -> Tensor:
        return mask.long().sum(0, keepdim=True)

    def keep(self, mask: Tensor, index: Tensor | None = None) -> Layout:
        index = mask.nonzero()[:, 0] if index is None else index
        kept = index.shape[0]
        if not isinstance(kept, int):
            # What the exporter cannot know: no step takes all tokens, none makes more.
            torch._check(kept >= 1)
            torch._check(kept <= self.tokens)
        return ExportLayout(kept, self.device)

    def of_equal(self, tokens: int) -> Layout:
        return ExportLayout(tokens, self.device)

    def append(self, values: Tensor, extra: Tensor) -> tuple[Tensor, Layout]:
        grown = ExportLayout(self.tokens + extra.shape[0], self.device)
        return torch.cat([values, extra.to(values.dtype)]), grown

    def sum(self, values: Tensor) -> Tensor:
        return values.sum(0, keepdim=True)

    def sum_groups(self, values: Tensor, groups: Tensor, count: int) -> Tensor:
        return values.new_zeros(count, values.shape[1]).index_add(0, groups, values)

    def sorted(self, values: Tensor) -> Tensor:
        return values.detach().float().flatten().sort().values

    def lowest(self, values: Tensor, counts: Tensor) -> Tensor:
        return lowest_of_columns(values, counts[0])

    def ranks(self, values: Tensor) -> Tensor:
        # A graph's sort leaves equals in any order, so pairs are compared, `(token, other)`.
        above = values[None] > values[:, None]
        tied_before = (values[None] == values[:, None]) & (
            self.positions[None] < self.positions[:, None]
        )
        return (above | tied_before).long().sum(1)
