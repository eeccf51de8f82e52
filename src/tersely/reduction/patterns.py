"""Attention patterns: which tokens of a document see one another in a block.

The patterns that S. Brahma, P. Zablotskaia and D. Mimno compare (Breaking BERT, arXiv 2210.03841),
as actions of a plan that choose no tokens. Neighbourhood is measured on original positions: a
token's neighbours stay its neighbours when others leave, nobody comes nearer, and the first tokens
are those that the document began with. Every token sees itself, and combination tokens see and are
seen by all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tersely.attention.connections import Band, Connections
from tersely.errors import PlanError
from tersely.reduction.actions import Action
from tersely.reduction.learned import Learned
from tersely.reduction.parts import check, check_number, register
from tersely.reduction.stream import Stream
from tersely.reduction.words import hashed

__all__ = ["GlobalTokens", "Neighbours", "Pattern", "RandomPairs", "Union"]

Pairs = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Pattern(Action):
    """Thins the attention of a block, and removes no token.

    Attributes:
        needs: what it wants of `Knowledge`: `"parser"`, `"stems"`.
        cls: whether the first token ([CLS]) sees all and is seen by all.
    """

    selects: ClassVar[bool] = False
    connects: ClassVar[bool] = True

    cls: bool = True

    def __post_init__(self) -> None:
        check(isinstance(self.cls, bool), "cls", "true or false", self.cls)

    @property
    def needs(self) -> frozenset[str]:
        """What it wants to know of the words besides their ids."""
        return frozenset()

    def check_heads(self, heads: int) -> None:
        """Raise a `PlanError` if the pattern does not fit so many heads."""

    def pairs(self, stream: Stream) -> Pairs:
        """A function of row numbers, as `Connections.sees`, without what all patterns share."""
        raise TypeError(f"{type(self).__name__} connects nothing")

    def band(self, stream: Stream) -> Band | None:
        """The band that holds all pairs but those of [CLS]; None where they lie anywhere."""
        return None

    def connect(self, stream: Stream, module: Learned | None = None) -> Connections:
        """The connections between the tokens of a stream; `module` is what was learned."""
        return self._with_first(stream, self.pairs(stream), self.band(stream))

    def _with_first(self, stream: Stream, own: Pairs, band: Band | None) -> Connections:
        """The pairs of the pattern, and those that all patterns share."""
        places = stream.origins

        def sees(queries: Tensor, keys: Tensor) -> Tensor:
            q, k = places[queries], places[keys]
            seen = own(queries, keys) | (q == k) | (q < 0) | (k < 0)
            return seen | (q == 0) | (k == 0) if self.cls else seen

        if band is not None and self.cls:
            band = Band(band.reaches, max(1, band.first), band.exact)
        return Connections(sees, band, self.kind)

    def work(self, sizes: list[int], width: int) -> int:
        """MACs of the matrix products that find the pairs, for states of this width."""
        return 0


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

    width: int | list[int] | None = None
    share: float | None = None
    widths: list[int | list[int]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.width, tuple):
            object.__setattr__(self, "width", list(self.width))
        if self.widths is None:
            check_one(self, "width", "share")
        else:
            alone = self.width is None and self.share is None
            check(alone, "widths", "given without width and share", self.widths)
            check(isinstance(self.widths, list | tuple), "widths", "a list", self.widths)
            object.__setattr__(self, "widths", list(self.widths))
        for width in [self.width] if self.widths is None else self.widths:
            many = width if isinstance(width, list) else [width]
            right = bool(many) and all(is_whole(number) for number in many)
            name = "width" if self.widths is None else "widths"
            check(right or self.share is not None, name, "whole numbers of 0 or more", width)

    def at_block(self, number: int, count: int) -> Neighbours:
        """The pattern with the width of this block."""
        if self.widths is None:
            return self
        if len(self.widths) != count:
            raise PlanError(
                f"widths must hold one width for each of the step's {count} blocks, got "
                f"{len(self.widths)}"
            )
        return replace(self, width=self.widths[number - 1], widths=None)

    def check_heads(self, heads: int) -> None:
        """One width for each head, if there are several."""
        if isinstance(self.width, list) and len(self.width) != heads:
            raise PlanError(
                f"width must be one number, or one for each of the encoder's {heads} heads, got "
                f"{len(self.width)}"
            )

    def pairs(self, stream: Stream) -> Pairs:
        """Pairs within the width."""
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
        """The width itself."""
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

    tokens: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one(self, "tokens", "share")
        if self.tokens is not None:
            check(is_whole(self.tokens), "tokens", "a whole number of 0 or more", self.tokens)

    def pairs(self, stream: Stream) -> Pairs:
        """Pairs of which one is among the first."""
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

    share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("share", self.share, 0, 1)
        right = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        check(right, "seed", "a whole number", self.seed)

    def pairs(self, stream: Stream) -> Pairs:
        """Pairs whose hash is low."""
        places = stream.origins
        row = hashed(stream.words.documents + places, self.seed)
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
        wrong = next((part.kind for part in parts if not part.connects or part.learns), None)
        check(wrong is None, "of", "a list of patterns that do not learn", wrong)
        object.__setattr__(self, "of", parts)

    def to_dict(self) -> dict[str, Any]:
        """The union as JSON writes it."""
        return super().to_dict() | {"of": [part.to_dict() for part in self.of]}

    @property
    def needs(self) -> frozenset[str]:
        """What any of them wants."""
        return frozenset().union(*(part.needs for part in self.of))

    def check_heads(self, heads: int) -> None:
        """All of them must fit."""
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
        return self._with_first(stream, any_of, band)

    def work(self, sizes: list[int], width: int) -> int:
        """What all of them take."""
        return sum(part.work(sizes, width) for part in self.of)


def check_one(part: Pattern, one: str, share: str) -> None:
    """Either a number or a share is given, and the share is one."""
    given = [name for name in (one, share) if getattr(part, name) is not None]
    check(len(given) == 1, one, f"given, or {share} in its place, not both", given or None)
    if getattr(part, share) is not None:
        check_number(share, getattr(part, share), 0, 1)


def is_whole(value: Any) -> bool:
    """Whether something is a whole number of 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _width_for(share: float, length: int) -> int:
    """The smallest width w with n(2w + 1) − w(w + 1) ≥ share · n² for n = `length`."""
    root = math.sqrt(4 * length * length * (1 - share) + 1)
    return max(0, math.ceil((2 * length - 1 - root) / 2 - 1e-9))
