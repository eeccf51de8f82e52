"""Where each document begins and ends in a packed row.

Hidden states, positions and scores of the same tokens share a `Layout`. It keeps the boundaries
twice: as a tensor, and (made once, on demand) as Python integers for the loops on the CPU.

Sorting is what token selection spends its time on. `torch.sort` took 20 ms for 98,304 floats on two
Skylake cores, numpy's vectorised sort of 64-bit integers 1.5 ms (2026-11-22), so on the CPU the
segment number and the value's bits are put into one integer and sorted there. Elsewhere torch does
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """Neighbouring documents that agree in length, and in that of their keys: a rectangle."""

    first: int  # of its documents
    documents: int
    start: int  # in the row
    length: int
    key_start: int  # in the row of the keys
    key_length: int

    @property
    def numbers(self) -> range:
        """Its documents' numbers in the batch."""
        return range(self.first, self.first + self.documents)

    @property
    def tokens(self) -> slice:
        """Its part of the row."""
        return slice(self.start, self.start + self.documents * self.length)

    @property
    def keys(self) -> slice:
        """Its part of the keys' row."""
        return slice(self.key_start, self.key_start + self.documents * self.key_length)


class Layout:
    """Document boundaries of a packed row: document `i` is `row[offsets[i]:offsets[i + 1]]`.

    Args:
        offsets: `(documents + 1,)` integers, starting with 0 and never falling.

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
        return self.runs_with(self)

    def runs_with(self, keys: Layout) -> tuple[Run, ...]:
        """Return the runs of documents that agree in the lengths of their keys too."""
        runs, start, key_start, documents, shape = [], 0, 0, 0, None
        for number, own in enumerate([*zip(self.sizes, keys.sizes, strict=True), None]):
            if own == shape:
                documents += 1
                continue
            if shape is not None:
                run = Run(number - documents, documents, start, shape[0], key_start, shape[1])
                runs += [run] if run.length else []
                start, key_start = run.tokens.stop, run.keys.stop
            shape, documents = own, 1
        return tuple(runs)

    def count(self, mask: Tensor) -> Tensor:
        """Count the true entries of `mask` `(tokens, columns)`, `(documents, columns)` int64."""
        running = mask.cumsum(0, dtype=torch.int32)
        # Offset 0 reads a row of zeros, which stands at the end.
        padded = torch.cat([running, running.new_zeros(1, mask.shape[1])])
        return padded[self.offsets - 1].diff(dim=0).long()

    def keep(self, mask: Tensor, index: Tensor | None = None) -> Layout:
        """Return the layout of the tokens where `mask` `(tokens,)` is true, in rows `index`."""
        return Layout.from_lengths(self.count(mask[:, None])[:, 0])

    def of_equal(self, tokens: int) -> Layout:
        """Return the layout of as many documents, of so many tokens each."""
        return Layout.from_lengths([tokens] * len(self), self.device)

    def append(self, values: Tensor, extra: Tensor) -> tuple[Tensor, Layout]:
        """Put the rows `extra` `(m, ...)` at every document's end: the new row and its layout."""
        grown = Layout.from_lengths([size + len(extra) for size in self.sizes], self.device)
        places = torch.arange(self.tokens, device=self.device) + len(extra) * self.segment_ids
        row = values.new_empty((grown.tokens, *values.shape[1:]))
        row.index_copy_(0, places, values)
        fresh = torch.ones(grown.tokens, dtype=torch.bool, device=values.device)
        fresh[places] = False
        extra = extra.to(values.dtype).repeat(len(self), *([1] * (extra.dim() - 1)))
        return row.index_copy_(0, fresh.nonzero()[:, 0], extra), grown

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
        return _values(_sort(values.flatten(), segment_ids.flatten()))

    def lowest(self, values: Tensor, counts: Tensor) -> Tensor:
        """Mark the lowest `counts` `(documents, columns)` values in each column of a document.

        Among equals the later ones; returns `(tokens, columns)` bool.
        """
        # Each column of a document is a segment, and the segments are interleaved.
        columns = values.shape[1]
        column = torch.arange(columns, device=values.device)
        segments = (self.segment_ids[:, None] * columns + column).flatten()
        starts = (self.offsets[:-1, None] * columns + self.lengths[:, None] * column).flatten()
        values, counts = values.detach().float().flatten(), counts.flatten()
        if values.numel() == 0:
            return torch.zeros(0, columns, dtype=torch.bool, device=values.device)
        last = (starts + counts - 1).clamp(min=0, max=values.numel() - 1)
        limit = _values(_sort(values, segments)[last])
        # Nothing is at most NaN.
        limit = torch.where(counts > 0, limit, torch.full_like(limit, torch.nan))[segments]
        marked = values <= limit
        if int(marked.sum()) != int(counts.sum()):
            tied = (values == limit).nonzero()[:, 0]
            surplus = torch.bincount(segments[marked], minlength=counts.numel()) - counts
            marked[tied[_rank(segments[tied]) < surplus[segments[tied]]]] = False
        return marked.view(-1, columns)

    def ranks(self, values: Tensor) -> Tensor:
        """Rank each document's tokens by `values`, the highest 0, the earlier one among equals."""
        order = (-values).argsort(stable=True)
        order = order[self.segment_ids[order].argsort(stable=True)]
        return torch.empty_like(order).index_copy_(0, order, self.positions)


class ExportLayout(Layout):
    """The layout of a row that is one document of `tokens` tokens, an integer or a symbol.

    An exporter follows tensors and cannot follow Python's loops over lengths, numpy's sort, or a
    branch on what a tensor holds. With one document there are no boundaries to loop over: a sum is
    a sum, a sort is a sort, and how many tokens stay is the length of an index. The results are
    those of a `Layout` of one document, ties included, which tests hold it to without any export.
    """

    symbolic = True

    def __init__(self, tokens: int, device: torch.device | str | None = None) -> None:
        super().__init__(torch.arange(2, device=device) * tokens, [tokens])

    @cached_property
    def segment_ids(self) -> Tensor:
        return torch.zeros(self.tokens, dtype=torch.long, device=self.device)

    @cached_property
    def positions(self) -> Tensor:
        return torch.arange(self.tokens, device=self.device)

    def runs_with(self, keys: Layout) -> tuple[Run, ...]:
        return (Run(0, 1, 0, self.tokens, 0, keys.tokens),)

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


def lowest_of_columns(values: Tensor, counts: Tensor) -> Tensor:
    """Mark the lowest `counts` `(columns,)` of each column of `values` `(n, columns)`.

    The later ones among equals, in operations that a graph can hold.
    """
    values = values.detach().float()
    last = (counts - 1).clamp(min=0)[None]
    limit = values.sort(dim=0).values.gather(0, last)
    below, tied = values < limit, values == limit
    # Equals after this one, in the order of the column.
    behind = tied.long().sum(0, keepdim=True) - tied.long().cumsum(0)
    marked = below | (tied & (behind < counts - below.long().sum(0)))
    return marked & (counts > 0)


def quantile_of_sorted(ordered: Tensor, starts: Tensor, lengths: Tensor, q: float) -> Tensor:
    """Return a quantile of each segment, `(segments,)`, as `torch.quantile`; NaN for empty ones.

    Segment `i` is `ordered[starts[i] : starts[i] + lengths[i]]`, ascending.
    """
    if ordered.numel() == 0:
        return ordered.new_full(starts.shape, torch.nan)
    place = (lengths - 1).clamp(min=0).to(ordered.dtype) * q
    below = place.floor().long()
    above = torch.minimum(below + 1, (lengths - 1).clamp(min=0))
    last = ordered.numel() - 1
    low, high = (ordered[(starts + part).clamp(max=last)] for part in (below, above))
    result = torch.lerp(low, high, place - below)
    return torch.where(lengths > 0, result, torch.full_like(result, torch.nan))


def _sort(values: Tensor, segments: Tensor) -> Tensor:
    """Integers that order first by segment and then by value, sorted."""
    keys = (segments << 32) + _ranks(values.detach().float().contiguous().view(torch.int32))
    if keys.device.type == "cpu":
        return torch.from_numpy(np.sort(keys.numpy()))
    return keys.sort().values


def _values(keys: Tensor) -> Tensor:
    """The values back, from the lower halves of the integers."""
    return _ranks(keys.to(torch.int32)).view(torch.float32)


def _ranks(bits: Tensor) -> Tensor:
    """Bits of floats, int32, to integers with the same order, and such integers back to bits.

    Floats order like integers where the sign bit is clear, and backwards where it is set.
    """
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _rank(segments: Tensor) -> Tensor:
    """How many earlier ones of the same segment each entry has."""
    order = segments.argsort(stable=True)
    sizes = torch.bincount(segments)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[segments[order]]
    return rank
