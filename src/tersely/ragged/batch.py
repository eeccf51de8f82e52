"""The ragged batch: values of documents of different lengths, laid end to end.

Scores and positions of a batch are `Ragged`: one tensor `(tokens, ...)` and the documents'
boundaries. A token that is deselected is gone from the tensor, not masked.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from tersely.ragged.layout import Layout


class Ragged:
    """Documents laid end to end: `values` `(tokens, ...)` and their `layout`.

    Args:
        values: `(tokens, ...)`.
        layout: the documents' boundaries, or their offsets `(documents + 1,)`.

    Raises:
        ValueError: if the layout does not cover the values exactly.

    Example:
        >>> batch = Ragged.from_list([torch.tensor([1.0, 2.0]), torch.tensor([4.0])])
        >>> batch.mean().tolist()
        [1.5, 4.0]
        >>> batch.select(batch.values > 1).to_list()
        [tensor([2.]), tensor([4.])]
    """

    def __init__(self, values: Tensor, layout: Layout | Tensor) -> None:
        self.values = values
        self.layout = layout if isinstance(layout, Layout) else Layout(layout)
        if self.layout.tokens != values.shape[0]:
            raise ValueError(
                f"the layout covers {self.layout.tokens} tokens but values has "
                f"{values.shape[0]} rows; give offsets that end at the number of rows"
            )

    @classmethod
    def from_list(cls, documents: Sequence[Tensor]) -> Self:
        """Lay tensors `(length_i, ...)` end to end."""
        if not documents:
            raise ValueError("from_list needs at least one document, got an empty list")
        lengths = [len(document) for document in documents]
        values = torch.cat(list(documents))
        return cls(values, Layout.from_lengths(lengths, values.device))

    def to_list(self) -> list[Tensor]:
        """Return the documents as separate views, `(length_i, ...)` each."""
        return list(self.values.split(self.layout.sizes))

    def to_padded(self, value: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return a copy `(documents, longest, ...)` filled with `value`, and its bool mask."""
        shape = (len(self.layout), self.layout.longest)
        flat = self.layout.segment_ids * shape[1] + self.layout.positions
        padded = self.values.new_full((shape[0] * shape[1], *self.values.shape[1:]), value)
        padded = padded.index_copy(0, flat, self.values)
        mask = torch.zeros(shape[0] * shape[1], dtype=torch.bool, device=self.values.device)
        mask[flat] = True
        return padded.unflatten(0, shape), mask.view(shape)

    def __len__(self) -> int:
        return len(self.layout)

    def __repr__(self) -> str:
        return f"Ragged(documents={len(self)}, values={tuple(self.values.shape)})"

    def select(self, mask: Tensor) -> Self:
        """Keep the tokens where `mask`, `(tokens,)` bool, is true; the others are gone."""
        index = mask.nonzero()[:, 0]
        return Ragged(self.values.index_select(0, index), self.layout.keep(mask, index))

    def sum(self) -> Tensor:
        """Sum each document, `(documents, ...)`; 0 for an empty one."""
        flat = self.values.flatten(1) if self.values.dim() > 1 else self.values[:, None]
        return self.layout.sum(flat).view(len(self), *self.values.shape[1:])

    def mean(self, weights: Tensor | None = None) -> Tensor:
        """Average each document, by `weights` `(tokens,)`, `(documents, ...)`; 0 for empty ones."""
        if weights is not None:
            rows = (-1, *([1] * (self.values.dim() - 1)))
            totals = Ragged(weights, self.layout).sum().view(rows)
            weighted = Ragged(self.values * weights.view(rows), self.layout).sum()
            return weighted / totals.where(totals != 0, torch.ones_like(totals))
        lengths = self.layout.lengths.clamp(min=1).to(self.values.dtype)
        return self.sum() / lengths.view(-1, *([1] * (self.values.dim() - 1)))

    def first(self) -> Tensor:
        """Return the first token of each document, `(documents, ...)`; none may be empty."""
        if 0 in self.layout.sizes:
            empty = self.layout.sizes.index(0)
            raise ValueError(f"document {empty} is empty and has no first token")
        return self.values[self.layout.offsets[:-1]]
