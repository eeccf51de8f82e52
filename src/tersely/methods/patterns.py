"""Attention patterns: neighbours, first, random, like and linked tokens see one another.

The patterns that S. Brahma, P. Zablotskaia and D. Mimno compare (Breaking BERT, arXiv 2210.03841),
and those of Longformer (arXiv 2004.05150) and BigBird (arXiv 2007.14062) that they build on.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor

from tersely.attention import Band
from tersely.errors import PlanError
from tersely.reduction import Action, Budget, Plan, Step, Stream, register, register_preset
from tersely.reduction.parts import check, checked, is_whole, number, one_of, whole
from tersely.reduction.patterns import Pairs, Pattern, hashed
from tersely.reduction.selectors import check_one_each

# The column of the stream that a lexical pattern goes by.
_COLUMNS = {"ids": "id", "stem": "stem", "embedding": "vector"}


def _is_width(value: Any) -> bool:
    many = value if isinstance(value, list) else [value]
    return bool(many) and all(is_whole(own) and own >= 0 for own in many)


@register("neighbours")
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

    width: int | list[int] | None = checked(None, "whole numbers of 0 or more", _is_width)
    share: float | None = number(None, 0, 1)
    widths: list[int | list[int]] | None = checked(
        None,
        "a list of whole numbers of 0 or more",
        lambda value: isinstance(value, list) and all(map(_is_width, value)),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.widths is None:
            _check_one(self, "width")
        else:
            alone = self.width is None and self.share is None
            check(alone, "widths", "given without width and share", self.widths)

    def at_block(self, number: int, count: int) -> Neighbours:
        if self.widths is None:
            return self
        check_one_each("widths", self.widths, count)
        return replace(self, width=self.widths[number - 1], widths=None)

    def check_heads(self, heads: int) -> None:
        if isinstance(self.width, list) and len(self.width) != heads:
            raise PlanError(
                f"width must be one number, or one for each of the encoder's {heads} heads, got "
                f"{len(self.width)}"
            )

    def pairs(self, stream: Stream) -> tuple[Pairs, Band]:
        places, documents = stream.origins, len(stream.layout)

        def apart(queries: Tensor, keys: Tensor) -> Tensor:
            return (places[queries] - places[keys]).abs()

        if isinstance(self.width, list):
            by_head = torch.tensor(self.width, device=places.device)[None, :, None, None]
            return lambda q, k: apart(q, k) <= by_head, Band([max(self.width)] * documents)
        reaches = [self.width] * documents
        if self.width is None:
            reaches = [_width_for(self.share, length) for length in stream.lengths.tolist()]
        widths = torch.tensor(reaches, device=places.device)[stream.layout.segment_ids]
        return lambda q, k: apart(q, k) <= widths[q], Band(reaches, exact=True)


@register("global")
class GlobalTokens(Pattern):
    """BigBird (arXiv 2007.14062) and Longformer, global tokens: the first ones see and are seen."""

    tokens: int | None = whole(None, 0)  # how many of a document's first; None beside a share
    share: float | None = number(None, 0, 1)  # of a document's pairs, by the fewest that reach it

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_one(self, "tokens")

    def pairs(self, stream: Stream) -> tuple[Pairs, Band]:
        counts = [self.tokens] * len(stream.layout)
        if self.tokens is None:
            # k first tokens are in 2kn − k² of n² pairs.
            part = 1 - math.sqrt(1 - self.share)
            counts = [math.ceil(part * length - 1e-9) for length in stream.lengths.tolist()]
        most = torch.tensor(counts, device=stream.origins.device)[stream.layout.segment_ids]
        first = stream.origins < most
        band = Band([0] * len(counts), max(counts, default=0), len(set(counts)) < 2)
        return lambda q, k: first[q] | first[k], band


@register("random")
class RandomPairs(Pattern):
    """Breaking BERT (arXiv 2210.03841), random pattern: a share of the pairs, by a hash.

    The hash is of the two positions and of all token ids of the document, so that a document has
    the same connections in any batch. Ours draws pair by pair; BigBird draws blocks of keys.
    """

    needs = frozenset({"document"})

    share: float = number(0.1, 0, 1)  # of the pairs, in the mean
    seed: int = whole(0, None)  # another seed, other pairs

    def pairs(self, stream: Stream) -> tuple[Pairs, None]:
        places = stream.origins
        row = hashed(stream.columns["document"] + places, self.seed)
        most = round(self.share * 2**31)
        return lambda q, k: hashed(row[q] + 1_000_003 * places[k], self.seed) < most, None


@register("union")
class Union(Pattern):
    """Several patterns together: what any of them connects, as BigBird (arXiv 2007.14062) does."""

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
        return super().to_dict() | {"of": [part.to_dict() for part in self.of]}

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(part.needs for part in self.of))

    def check_heads(self, heads: int) -> None:
        for part in self.of:
            part.check_heads(heads)

    def pairs(self, stream: Stream) -> tuple[Pairs, Band | None]:
        parts = [part.connect(stream) for part in self.of]
        band, bands = None, [part.band for part in parts]
        if None not in bands:
            reaches = [max(own) for own in zip(*(band.reaches for band in bands), strict=True)]
            band = Band(reaches, max(b.first for b in bands), all(b.exact for b in bands))
        return lambda q, k: reduce(or_, (part.sees(q, k) for part in parts)), band

    def work(self, sizes: list[int], width: int) -> int:
        return sum(part.work(sizes, width) for part in self.of)


def _check_one(part: Neighbours | GlobalTokens, one: str) -> None:
    given = [name for name in (one, "share") if getattr(part, name) is not None]
    check(len(given) == 1, one, "given, or share in its place, not both", given or None)


def _width_for(share: float, length: int) -> int:
    """Return the smallest width w with n(2w + 1) − w(w + 1) ≥ share · n² for n = `length`."""
    root = math.sqrt(4 * length * length * (1 - share) + 1)
    return max(0, math.ceil((2 * length - 1 - root) / 2 - 1e-9))


@register("syntax")
class Syntax(Pattern):
    """Breaking BERT (arXiv 2210.03841), syntactic pattern: the arcs of a dependency parse.

    Pieces of one word see one another and the pieces of the words that govern it or are governed
    by it. The parser is the user's, given as `model.knowledge.parser`.
    """

    needs = frozenset({"parse"})

    def pairs(self, stream: Stream) -> tuple[Pairs, None]:
        words, heads = stream.columns["parse"].unbind(1)

        def linked(queries: Tensor, keys: Tensor) -> Tensor:
            q, k = words[queries], words[keys]
            arc = (q == k) | (heads[queries] == k) | (heads[keys] == q)
            return arc & (q >= 0) & (k >= 0)

        return linked, None


@register("lexical")
class Lexical(Pattern):
    """Breaking BERT (arXiv 2210.03841), lexical pattern: word pieces that are the same or alike.

    The paper's measure of likeness is not known to us; these are ours.

    Attributes:
        by: `"ids"` for equal word pieces, `"stem"` for a shared stem (`model.knowledge.stems`), or
            `"embedding"` for a high cosine of the encoder's word embeddings.
        share: with `"embedding"`: the share of the pairs of different tokens of a document that is
            connected, those with the highest cosines.
    """

    by: str = one_of(*_COLUMNS, default="ids")
    share: float = number(0.1, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({_COLUMNS[self.by]})

    def pairs(self, stream: Stream) -> tuple[Pairs, None]:
        figures = stream.columns[_COLUMNS[self.by]]
        if self.by == "embedding":
            return _alike(figures, stream, self.share), None
        return lambda q, k: figures[q] == figures[k], None

    def work(self, sizes: list[int], width: int) -> int:
        return width * sum(size * size for size in sizes) if self.by == "embedding" else 0


def _alike(states: Tensor, stream: Stream, share: float) -> Pairs:
    """Pairs whose cosine is among the document's highest, looked up in one row of all pairs."""
    units, own = torch.nn.functional.normalize(states.float(), dim=1), stream.embedded
    layout, found = stream.layout, []
    for run in layout.runs:
        shape = (run.documents, run.length)
        metric, mine = units[run.tokens].view(*shape, -1), own[run.tokens].view(shape)
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
    cosines = (cosines * 1e5).round()  # both orders of a pair have the same up to rounding
    values = cosines[counted]
    count = min(len(values), math.ceil(share * len(values)))
    if count == 0:
        return torch.zeros_like(counted)
    return counted & (cosines >= values.kthvalue(len(values) - count + 1).values)


_WIDTHS = tuple(2**power for power in range(3, 13))
_WIDTH = Budget("width", lambda depth: _WIDTHS)


@register_preset(
    "neighbours",
    budget=_WIDTH,
    examples={"": {"width": 2}, "without [CLS]": {"width": 1, "cls": False}},
    nothing={"width": 1000},
)
def neighbours(width: int = 64, start: int | float = 0, cls: bool = True) -> Plan:
    """Let tokens attend to their neighbours and [CLS] only (Breaking BERT, arXiv 2210.03841)."""
    return Plan("neighbours", (Step(Neighbours(width=width, cls=cls), {"start": start}),))


@register_preset(
    "bigbird",
    budget=_WIDTH,
    examples={"": {"width": 1, "random": 0.1, "tokens": 2}},
    nothing={"width": 1000},
)
def bigbird(
    width: int = 96, random: float = 0.05, tokens: int = 64, start: int | float = 0, seed: int = 0
) -> Plan:
    """Combine neighbours, random pairs and global first tokens (BigBird, arXiv 2007.14062).

    The defaults are near BigBird's own on 4,096 tokens: three blocks of 64 keys in the window,
    three of them at random, and global tokens; ours are first tokens only, and go by single tokens.
    """
    near, drawn = Neighbours(width=width), RandomPairs(share=random, seed=seed)
    union = Union(of=(near, drawn, GlobalTokens(tokens=tokens)))
    return Plan("bigbird", (Step(union, {"start": start}),))
