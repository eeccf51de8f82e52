"""Attention patterns: neighbours, first, random, like and linked tokens see one another.

The patterns that S. Brahma, P. Zablotskaia and D. Mimno compare (Breaking BERT, arXiv 2210.03841),
and those of Longformer (arXiv 2004.05150) and BigBird (arXiv 2007.14062) that they build on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tersely.attention import Band, Connections
from tersely.errors import PlanError
from tersely.ragged import Layout
from tersely.reduction.actions import Action
from tersely.reduction.parts import (
    Budget,
    Learned,
    check,
    checked,
    is_whole,
    number,
    one_of,
    register,
    whole,
)
from tersely.reduction.patterns import Pairs, Pattern, hashed
from tersely.reduction.plan import Plan
from tersely.reduction.presets import register_preset
from tersely.reduction.step import Step
from tersely.reduction.stream import Stream

# The column of the stream that a lexical pattern goes by.
_COLUMNS = {"ids": "id", "stem": "stem", "embedding": "vector"}


def _check_width(name: str, width: Any) -> None:
    many = width if isinstance(width, list) else [width]
    right = bool(many) and all(is_whole(own) and own >= 0 for own in many)
    check(right, name, "whole numbers of 0 or more", width)


def _check_widths(name: str, widths: Any) -> None:
    check(isinstance(widths, list), name, "a list", widths)
    for width in widths:
        _check_width(name, width)


@register
@dataclass(frozen=True)
class Neighbours(Pattern):
    """Breaking BERT (arXiv 2210.03841), neighbour pattern: tokens at most so far apart.

    As the sliding windows of Longformer (arXiv 2004.05150); ours is exact to the token, without
    blocks.

    Attributes:
        width: positions on each side, one number or one for each head; None where another is given.
        share: the share of a document's pairs to reach, by the smallest width that does, [CLS] not
            counted.
        widths: a width as above for each of the step's blocks, in their order.
    """

    kind: ClassVar[str] = "neighbours"

    width: int | list[int] | None = checked(None, _check_width)
    share: float | None = number(None, 0, 1)
    widths: list[int | list[int]] | None = checked(None, _check_widths)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.widths is None:
            _check_one(self, "width")
        else:
            alone = self.width is None and self.share is None
            check(alone, "widths", "given without width and share", self.widths)

    def at_block(self, number: int, count: int) -> Neighbours:
        """Return the pattern with the width of this block."""
        if self.widths is None:
            return self
        if len(self.widths) != count:
            raise PlanError(
                f"widths must hold one width for each of the step's {count} blocks, got "
                f"{len(self.widths)}"
            )
        return replace(self, width=self.widths[number - 1], widths=None)

    def check_heads(self, heads: int) -> None:
        """Return one width for each head, if there are several."""
        if isinstance(self.width, list) and len(self.width) != heads:
            raise PlanError(
                f"width must be one number, or one for each of the encoder's {heads} heads, got "
                f"{len(self.width)}"
            )

    def pairs(self, stream: Stream) -> Pairs:
        """Return the pairs within the width."""
        places = stream.origins
        if isinstance(self.width, list):
            widths = torch.tensor(self.width, device=places.device)[None, :, None, None]
        elif self.width is not None:
            widths = self.width
        else:
            reaches = torch.tensor(self._reaches(stream), device=places.device)
            widths = reaches[stream.layout.segment_ids]

        def near(queries: Tensor, keys: Tensor) -> Tensor:
            width = widths[queries] if self.width is None else widths
            return (places[queries] - places[keys]).abs() <= width

        return near

    def band(self, stream: Stream) -> Band:
        """Return the width itself."""
        return Band(self._reaches(stream), exact=not isinstance(self.width, list))

    def _reaches(self, stream: Stream) -> list[int]:
        if self.width is not None:
            most = max(self.width) if isinstance(self.width, list) else self.width
            return [most] * len(stream.layout)
        return [_width_for(self.share, length) for length in stream.lengths.tolist()]


@register
@dataclass(frozen=True)
class GlobalTokens(Pattern):
    """BigBird (arXiv 2007.14062) and Longformer, global tokens: the first ones see and are seen.

    Attributes:
        tokens: how many of a document's first tokens; None where `share` is given.
        share: the share of a document's pairs to reach, by the fewest tokens that do.
    """

    kind: ClassVar[str] = "global"

    tokens: int | None = whole(None, 0)
    share: float | None = number(None, 0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_one(self, "tokens")

    def pairs(self, stream: Stream) -> Pairs:
        """Return the pairs of which one is among the first."""
        places = stream.origins
        counts = torch.tensor(self._counts(stream), device=places.device)[stream.layout.segment_ids]
        first = places < counts

        def of_first(queries: Tensor, keys: Tensor) -> Tensor:
            return first[queries] | first[keys]

        return of_first

    def band(self, stream: Stream) -> Band:
        """No band at all, but the first tokens: those of the document that has most of them."""
        counts = self._counts(stream)
        return Band([0] * len(counts), max(counts, default=0), len(set(counts)) < 2)

    def _counts(self, stream: Stream) -> list[int]:
        if self.tokens is not None:
            return [self.tokens] * len(stream.layout)
        # k first tokens are in 2kn − k² of n² pairs.
        part = 1 - math.sqrt(1 - self.share)
        return [math.ceil(part * length - 1e-9) for length in stream.lengths.tolist()]


@register
@dataclass(frozen=True)
class RandomPairs(Pattern):
    """Breaking BERT (arXiv 2210.03841), random pattern: a share of the pairs, by a hash.

    The hash is of the two positions and of all token ids of the document, so that a document has
    the same connections in any batch. Ours draws pair by pair; BigBird draws blocks of keys.

    Attributes:
        share: the share of the pairs that is connected, in the mean.
        seed: another seed, other pairs.
    """

    kind: ClassVar[str] = "random"

    share: float = number(0.1, 0, 1)
    seed: int = whole(0, None)

    @property
    def needs(self) -> frozenset[str]:
        """A number of each document."""
        return frozenset({"document"})

    def pairs(self, stream: Stream) -> Pairs:
        """Return the pairs whose hash is low."""
        places = stream.origins
        row = hashed(stream.columns["document"] + places, self.seed)
        most = round(self.share * 2**31)

        def drawn(queries: Tensor, keys: Tensor) -> Tensor:
            return hashed(row[queries] + 1_000_003 * places[keys], self.seed) < most

        return drawn


@register
@dataclass(frozen=True)
class Union(Pattern):
    """Several patterns together: what any of them connects, as BigBird (arXiv 2007.14062) does.

    Attributes:
        of: the patterns.
    """

    kind: ClassVar[str] = "union"

    of: tuple[Pattern, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check(isinstance(self.of, list | tuple) and len(self.of) > 0, "of", "a list", self.of)
        parts = tuple(
            part if isinstance(part, Pattern) else Action.from_dict(part, f"of[{number}]")
            for number, part in enumerate(self.of)
        )
        wrong = next((part.kind for part in parts if part.acts != "attention" or part.learns), None)
        check(wrong is None, "of", "a list of patterns that do not learn", wrong)
        object.__setattr__(self, "of", parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the union as JSON writes it."""
        return super().to_dict() | {"of": [part.to_dict() for part in self.of]}

    @property
    def needs(self) -> frozenset[str]:
        """What any of them wants."""
        return frozenset().union(*(part.needs for part in self.of))

    def check_heads(self, heads: int) -> None:
        """Return all of them must fit."""
        for part in self.of:
            part.check_heads(heads)

    def connect(self, stream: Stream, module: Learned | None = None) -> Connections:
        """Pairs of any of them; the widest band and the most first tokens, if all have one."""
        parts = [part.connect(stream) for part in self.of]

        def any_of(queries: Tensor, keys: Tensor) -> Tensor:
            seen = parts[0].sees(queries, keys)
            for part in parts[1:]:
                seen = seen | part.sees(queries, keys)
            return seen

        band, bands = None, [part.band for part in parts]
        if None not in bands:
            reaches = [max(own) for own in zip(*(band.reaches for band in bands), strict=True)]
            band = Band(reaches, max(b.first for b in bands), all(b.exact for b in bands))
        return self.with_first(stream, any_of, band)

    def work(self, sizes: list[int], width: int) -> int:
        """Return what all of them take."""
        return sum(part.work(sizes, width) for part in self.of)


def _check_one(part: Neighbours | GlobalTokens, one: str) -> None:
    """Either a number or a share is given."""
    given = [name for name in (one, "share") if getattr(part, name) is not None]
    check(len(given) == 1, one, "given, or share in its place, not both", given or None)


def _width_for(share: float, length: int) -> int:
    """Return the smallest width w with n(2w + 1) − w(w + 1) ≥ share · n² for n = `length`."""
    root = math.sqrt(4 * length * length * (1 - share) + 1)
    return max(0, math.ceil((2 * length - 1 - root) / 2 - 1e-9))


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
        return frozenset({"parse"})

    def pairs(self, stream: Stream) -> Pairs:
        """Return the pairs of one word or of an arc."""
        words, heads = stream.columns["parse"].unbind(1)

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

    by: str = one_of(*_COLUMNS, default="ids")
    share: float = number(0.1, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        """What it goes by."""
        return frozenset({_COLUMNS[self.by]})

    def pairs(self, stream: Stream) -> Pairs:
        """Return the pairs of like word pieces."""
        figures = stream.columns[_COLUMNS[self.by]]
        if self.by == "embedding":
            return _alike(figures, stream, self.share)

        def same(queries: Tensor, keys: Tensor) -> Tensor:
            return figures[queries] == figures[keys]

        return same

    def work(self, sizes: list[int], width: int) -> int:
        """Return the cosines of all pairs, where they are asked for."""
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
    count = min(len(values), math.ceil(share * len(values)))
    if count == 0:
        return torch.zeros_like(counted)
    lowest = values.kthvalue(len(values) - count + 1).values
    return counted & ((cosines * 1e5).round() >= lowest)


_WIDTHS = tuple(2**power for power in range(3, 13))
_WIDTH = Budget("width", lambda depth: _WIDTHS)


@register_preset(
    "neighbours",
    budget=_WIDTH,
    examples={"": {"width": 2}, "without [CLS]": {"width": 1, "cls": False}},
    nothing={"width": 1000},
)
def neighbours(width: int = 64, start: int | float = 0, cls: bool = True) -> Plan:
    """Let tokens see their neighbours and [CLS] only (Breaking BERT, arXiv 2210.03841)."""
    return Plan("neighbours", (Step(Neighbours(width=width, cls=cls), {"start": start}),))


@register_preset(
    "bigbird",
    budget=_WIDTH,
    examples={"": {"width": 1, "random": 0.1, "tokens": 2}},
    nothing={"width": 1000},
)
def bigbird(
    width: int = 96,
    random: float = 0.05,
    tokens: int = 64,
    start: int | float = 0,
    seed: int = 0,
) -> Plan:
    """Unite neighbours, random pairs and global first tokens (BigBird, arXiv 2007.14062).

    The defaults are near BigBird's own on 4,096 tokens: three blocks of 64 keys in the window,
    three of them at random, and global tokens; ours are first tokens only, and go by single tokens.
    """
    parts = (
        Neighbours(width=width),
        RandomPairs(share=random, seed=seed),
        GlobalTokens(tokens=tokens),
    )
    return Plan("bigbird", (Step(Union(of=parts), {"start": start}),))
