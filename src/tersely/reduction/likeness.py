"""Patterns from what the words are: a dependency parse, and words that are the same or alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tersely.ragged import Layout
from tersely.reduction.parts import check, check_number, register
from tersely.reduction.patterns import Pairs, Pattern
from tersely.reduction.stream import Stream

__all__ = ["Lexical", "Syntax"]


@register
@dataclass(frozen=True)
class Syntax(Pattern):
    """Breaking BERT (arXiv 2210.03841), syntactic pattern: the arcs of a dependency parse.

    Pieces of one word see one another and the pieces of the words that govern it or are governed
    by it. The parser is the user's, given as `model.knowledge.parser`.
    """

    kind: ClassVar[str] = "syntax"

    @property
    def needs(self) -> frozenset[str]:
        """A parse."""
        return frozenset({"parser"})

    def pairs(self, stream: Stream) -> Pairs:
        """Pairs of one word or of an arc."""
        words, heads = stream.words.words, stream.words.heads

        def linked(queries: Tensor, keys: Tensor) -> Tensor:
            q, k = words[queries], words[keys]
            arc = (q == k) | (heads[queries] == k) | (heads[keys] == q)
            return arc & (q >= 0) & (k >= 0)

        return linked


@register
@dataclass(frozen=True)
class Lexical(Pattern):
    """Breaking BERT (arXiv 2210.03841), lexical pattern: word pieces that are the same or alike.

    The paper's measure of likeness is not known to us; these are ours.

    Attributes:
        by: `"ids"` for equal word pieces, `"stem"` for a shared stem (`model.knowledge.stems`), or
            `"embedding"` for a high cosine of the encoder's word embeddings.
        share: with `"embedding"`: the share of the pairs of different tokens of a document that is
            connected, those with the highest cosines.
    """

    kind: ClassVar[str] = "lexical"

    by: str = "ids"
    share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        ways = ("ids", "stem", "embedding")
        check(self.by in ways, "by", "'ids', 'stem' or 'embedding'", self.by)
        check_number("share", self.share, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        """The stems of the vocabulary, if it goes by them."""
        return frozenset({"stems"} if self.by == "stem" else ())

    def pairs(self, stream: Stream) -> Pairs:
        """Pairs of like word pieces."""
        words = stream.words
        if self.by == "embedding":
            return _alike(words.table[words.ids.clamp(min=0)], stream, self.share)
        numbers = words.ids
        if self.by == "stem":
            numbers = torch.where(numbers < 0, -1, words.stems[numbers.clamp(min=0)])

        def same(queries: Tensor, keys: Tensor) -> Tensor:
            return numbers[queries] == numbers[keys]

        return same

    def work(self, sizes: list[int], width: int) -> int:
        """The cosines of all pairs, where they are asked for."""
        return width * sum(size * size for size in sizes) if self.by == "embedding" else 0


def _alike(states: Tensor, stream: Stream, share: float) -> Pairs:
    """Pairs whose cosine is among the document's highest, looked up in one row of all pairs."""
    units, own = torch.nn.functional.normalize(states.float(), dim=1), stream.embedded
    layout: Layout = stream.layout
    found = []
    for run in layout.runs:
        shape = (run.documents, run.length)
        part = slice(run.start, run.stop)
        metric, mine = units[part].view(*shape, -1), own[part].view(shape)
        cosines = metric @ metric.transpose(1, 2)
        others = mine[:, :, None] & mine[:, None, :]
        others &= ~torch.eye(run.length, dtype=torch.bool, device=own.device)
        for matrix, counted in zip(cosines, others, strict=True):
            found.append(_highest(matrix, counted, share).flatten())
    table = torch.cat(found)
    lengths = layout.lengths
    starts = (lengths * lengths).cumsum(0) - lengths * lengths
    base = starts[layout.segment_ids] + layout.positions * lengths[layout.segment_ids]

    def alike(queries: Tensor, keys: Tensor) -> Tensor:
        # Pairs of two documents may point anywhere: nobody reads what stands there.
        return table[(base[queries] + layout.positions[keys]).clamp(max=len(table) - 1)]

    return alike


def _highest(cosines: Tensor, counted: Tensor, share: float) -> Tensor:
    """The given share of the counted pairs, rounded up, with the highest cosines; ties are in."""
    values = cosines[counted]
    # Both orders of a pair have the same cosine up to rounding.
    values = (values * 1e5).round()
    count = min(len(values), -int(-share * len(values) // 1))
    if count == 0:
        return torch.zeros_like(counted)
    lowest = values.kthvalue(len(values) - count + 1).values
    return counted & ((cosines * 1e5).round() >= lowest)
