"""Where each document begins and ends in a packed row.

A `Layout` is the part of a ragged batch that all tensors of one row share: hidden states, positions
and scores of the same tokens have the same layout. It keeps the boundaries twice: as a tensor for
vectorised work, and (made once, on demand) as Python integers for the loops of the CPU back end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.ragged.order import lowest, sorted_values


@dataclass(frozen=True)
class Run:
    """A run of neighbouring documents of one length: one rectangle of the row.

    It begins with the token `start` of the row and the document `first` of the batch.
    """

    start: int
    documents: int
    length: int
    first: int

    @property
    def stop(self) -> int:
        """One past the last token."""
        return self.start + self.documents * self.length


class Layout:
    """Document boundaries of a packed row: document `i` is `row[offsets[i]:offsets[i + 1]]`.

    Args:
        offsets: `(documents + 1,)` int64, starting with 0 and never falling.

    Example:
        >>> layout = Layout.from_lengths([2, 3])
        >>> layout.offsets.tolist(), layout.segment_ids.tolist()
        ([0, 2, 5], [0, 0, 1, 1, 1])
    """

    symbolic = False
    """Whether lengths may be symbols of a graph, which cannot branch; see `ExportLayout`."""

    def __init__(self, offsets: Tensor, _lengths: Sequence[int] | None = None) -> None:
        if offsets.dim() != 1 or offsets.numel() == 0 or offsets.is_floating_point():
            raise ValueError(
                "offsets must be a one-dimensional tensor of integers that starts with 0, "
                f"got shape {tuple(offsets.shape)} of {offsets.dtype}"
            )
        self.offsets = offsets.long()
        if _lengths is not None:
            self.__dict__["sizes"] = list(_lengths)

    @classmethod
    def from_lengths(
        cls, lengths: Sequence[int] | Tensor, device: torch.device | str | None = None
    ) -> Layout:
        """Build a layout from the documents' lengths; those on a device are not read back."""
        known = None
        if not isinstance(lengths, Tensor):
            known = [int(length) for length in lengths]
        elif lengths.device.type == "cpu":
            known = lengths.tolist()
        if min(known or [0]) < 0:
            raise ValueError(f"lengths must not be negative, got {list(known)}")
        sizes = torch.as_tensor(lengths, dtype=torch.long, device=device)
        return cls(torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]), known)

    def __len__(self) -> int:
        return self.offsets.numel() - 1

    def __repr__(self) -> str:
        return f"Layout(documents={len(self)}, tokens={self.tokens})"

    @property
    def device(self) -> torch.device:
        """Where the boundaries live."""
        return self.offsets.device

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each document, `(documents,)` int64."""
        return self.offsets.diff()

    @cached_property
    def sizes(self) -> list[int]:
        """Tokens of each document as Python integers (waits for the device once)."""
        return self.lengths.tolist()

    @cached_property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return sum(self.sizes)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest document, 0 for an empty batch."""
        return max(self.sizes, default=0)

    @cached_property
    def segment_ids(self) -> Tensor:
        """The document that each token belongs to, `(tokens,)` int64."""
        documents = torch.arange(len(self), device=self.device)
        return documents.repeat_interleave(self.lengths, output_size=self.tokens)

    @cached_property
    def positions(self) -> Tensor:
        """Each token's position in its document, counted from 0, `(tokens,)` int64."""
        return torch.arange(self.tokens, device=self.device) - self.offsets[self.segment_ids]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs of neighbouring documents with equal lengths, empty documents left out."""
        return tuple(_runs(self.sizes))

    def count(self, mask: Tensor) -> Tensor:
        """Count the true entries of `mask` `(tokens, columns)`, `(documents, columns)` int64."""
        running = mask.cumsum(0, dtype=torch.int32)
        # Offset 0 reads a row of zeros, which stands at the end.
        padded = torch.cat([running, running.new_zeros(1, mask.shape[1])])
        return padded[self.offsets - 1].diff(dim=0).long()

    def keep(self, mask: Tensor, index: Tensor | None = None) -> Layout:
        """Return the layout of the tokens where `mask` `(tokens,)` is true, in rows `index`."""
        return Layout.from_lengths(self.count(mask[:, None])[:, 0])

    def grow(self, extra: int) -> tuple[Layout, Tensor]:
        """Make room for `extra` tokens at every document's end; also returns the old ones' rows."""
        grown = Layout.from_lengths([size + extra for size in self.sizes], self.device)
        return grown, torch.arange(self.tokens, device=self.device) + extra * self.segment_ids

    def of_equal(self, tokens: int) -> Layout:
        """Return the layout of as many documents, of so many tokens each."""
        return Layout.from_lengths([tokens] * len(self), self.device)

    def append(self, values: Tensor, extra: Tensor) -> tuple[Tensor, Layout]:
        """Put the rows `extra` `(m, ...)` at every document's end: the new row and its layout."""
        grown, places = self.grow(len(extra))
        row = values.new_empty((grown.tokens, *values.shape[1:]))
        row.index_copy_(0, places, values)
        fresh = torch.ones(grown.tokens, dtype=torch.bool, device=values.device)
        fresh[places] = False
        extra = extra.to(values.dtype).repeat(len(self), *([1] * (extra.dim() - 1)))
        return row.index_copy_(0, fresh.nonzero()[:, 0], extra), grown

    # ---- what is computed document by document -------------------------------------------------

    def sum(self, values: Tensor) -> Tensor:
        """Sum each document's rows of `values` `(tokens, columns)`, `(documents, columns)`."""
        # embedding_bag sums rows in parallel: 1 ms where index_add took 26 ms for 8,192 rows of 384
        # floats in 16 documents (two Skylake cores, 2026-11-22).
        rows = torch.arange(self.tokens, device=values.device)
        return F.embedding_bag(rows, values, self.offsets[:-1], mode="sum")

    def sum_groups(self, values: Tensor, groups: Tensor, count: int) -> Tensor:
        """Sum `values` by `groups` `(tokens,)`, none of which is empty, `(count, columns)`."""
        order = groups.argsort(stable=True)
        return Layout.from_lengths(torch.bincount(groups)).sum(values[order])

    def sorted(self, values: Tensor) -> Tensor:
        """Sort all entries of each document, flat `(tokens · columns,)` float32, no gradient."""
        segment_ids = self.segment_ids[:, None].expand_as(values)
        return sorted_values(values.flatten(), segment_ids.flatten())

    def lowest(self, values: Tensor, counts: Tensor) -> Tensor:
        """Mark the lowest `counts` `(documents, columns)` values, the later ones among equals.

        Each column of a document counts by itself; returns `(tokens, columns)` bool.
        """
        # Each column of a document is a segment, and the segments are interleaved.
        columns = values.shape[1]
        column = torch.arange(columns, device=values.device)
        segments = self.segment_ids[:, None] * columns + column
        starts = self.offsets[:-1, None] * columns + self.lengths[:, None] * column
        flat = (each.flatten() for each in (values, segments, starts, counts))
        return lowest(*flat).view(-1, columns)

    def ranks(self, values: Tensor) -> Tensor:
        """Rank each document's tokens by `values`, the highest 0, the earlier one among equals."""
        order = (-values).argsort(stable=True)
        order = order[self.segment_ids[order].argsort(stable=True)]
        return torch.empty_like(order).index_copy_(0, order, self.positions)


def _runs(sizes: Iterable[int]) -> Iterator[Run]:
    start = first = documents = length = 0
    for number, size in enumerate(sizes):
        if documents and size == length:
            documents += 1
            continue
        if documents and length:
            yield Run(start, documents, length, first)
        start += documents * length
        first, documents, length = number, 1, size
    if documents and length:
        yield Run(start, documents, length, first)
