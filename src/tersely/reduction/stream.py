"""The tokens on their way through the encoder, and what scorers and selectors get to see of them.

All documents of a batch lie in one row. Here `b` has two tokens left of three, and the second of
them is no key any more:

    hidden    a0 a1 a2 | b0 b2       layout: lengths 3, 2
    origins    0  1  2 |  0  2
    key_mask   1  1  1 |  1  0
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from tersely.ragged import Layout
from tersely.reduction.parts import Learned


@dataclass(frozen=True)
class Stream:
    """The living tokens between two steps.

    Attributes:
        origins: `(tokens,)` int64: each token's place in its original document, −1 for a token that
            a module added, which has none.
        key_mask: the tokens that are still keys and values of the next attention, `(tokens,)` or
            `(tokens, heads)` bool; None for all.
        weights: `(tokens,)`, how many tokens each one stands for where some were merged.
        groups: for each token that entered the last action, the row number of the token that it
            was merged into; None where nothing was merged.
        expected: `(documents,)`, how many tokens of each document count as left, with the gradients
            of learned selectors; None where nothing learns.
        columns: further figures of each token, `(tokens, ...)` by name, which go where it goes:
            what patterns know of the words, targets that something is learned from.
    """

    hidden: Tensor  # (tokens, hidden)
    layout: Layout
    origins: Tensor
    key_mask: Tensor | None = None
    lengths: Tensor | None = None  # (documents,) int64, tokens before anything left
    weights: Tensor | None = None
    groups: Tensor | None = None
    expected: Tensor | None = None
    fading: Tensor | None = None  # (tokens, 1), what the block's output is multiplied by
    columns: dict[str, Tensor] = field(default_factory=dict)

    @property
    def positions(self) -> Tensor:
        """Positions for rotations, `(tokens,)`: an added token stands at 0, unrotated."""
        return self.origins.clamp(min=0)

    @property
    def embedded(self) -> Tensor:
        """`(tokens,)` bool: the document's own tokens, not those that a module added."""
        return self.origins >= 0

    def ends(self) -> Tensor:
        """Return `(tokens,)` bool: each document's first and last own token ([CLS], [SEP])."""
        own, segments = self.embedded, self.layout.segment_ids
        last = torch.full_like(self.layout.offsets[:-1], -1)
        last = last.scatter_reduce(0, segments, self.origins, "amax")
        return own & ((self.origins == 0) | (self.origins == last[segments]))

    def drop_keys(self, losers: Tensor) -> Self:
        """Take `losers`, `(tokens, heads or 1)` bool, out of the keys of the next blocks."""
        losers = losers[:, 0] if losers.shape[1] == 1 else losers
        if self.key_mask is None:
            return replace(self, key_mask=~losers)
        mask = self.key_mask
        if mask.dim() != losers.dim():
            mask, losers = mask.view(mask.shape[0], -1), losers.view(losers.shape[0], -1)
        return replace(self, key_mask=mask & ~losers)

    def select(self, keep: Tensor) -> Self:
        """Return the tokens where `keep`, `(tokens,)` bool, is true; the others are gone."""
        index = keep.nonzero()[:, 0]
        layout = self.layout.keep(keep, index)

        def take(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.index_select(0, index)

        own = ("hidden", "origins", "key_mask", "weights")
        taken = {name: take(getattr(self, name)) for name in own}
        columns = {name: take(column) for name, column in self.columns.items()}
        return replace(self, layout=layout, columns=columns, **taken)

    def merge(self, leaders: Tensor, shares: Tensor | None = None) -> Self:
        """Merge each token into its leader: the mean of those that go into one, weighted by size.

            hidden    a0 a1 a2 a3                   weights  None
            leaders    0  2  2  3
            after     a0 (a1+a2)/2 a3               weights  1 2 1      groups  0 1 1 2

        Merged tokens keep count of how many they stand for; means are weighted by that count, and
        following attention adds its logarithm to a key's logit, as if all of them were still there.

        `leaders` `(tokens,)` are the row numbers of the tokens that each goes into, of the same
        document; a leader leads itself. `shares` `(tokens,)` are further weights, above 0.
        """
        rows = torch.arange(leaders.shape[0], device=leaders.device)
        stays = leaders == rows
        groups = (stays.cumsum(0) - 1)[leaders]
        sizes = self.hidden.new_ones(leaders.shape[0]) if self.weights is None else self.weights
        weights = sizes if shares is None else sizes * shares.to(sizes.dtype)
        kept = self.select(stays)
        weighted = torch.cat([self.hidden * weights[:, None], weights[:, None], sizes[:, None]], 1)
        sums = self.layout.sum_groups(weighted, groups, kept.layout.tokens)
        hidden = sums[:, :-2] / sums[:, -2:-1]
        return replace(kept, hidden=hidden, weights=sums[:, -1], groups=groups)

    def append(self, tokens: Tensor) -> Self:
        """Return the stream with the same added tokens, `(m, hidden)`, at each document's end."""

        def grow(column: Tensor) -> Tensor:
            nothing = 0 if column.is_floating_point() else -1
            none = column.new_full((len(tokens), *column.shape[1:]), nothing)
            return self.layout.append(column, none)[0]

        hidden, layout = self.layout.append(self.hidden, tokens)
        columns = {name: grow(column) for name, column in self.columns.items()}
        origins = grow(self.origins)
        return replace(self, hidden=hidden, layout=layout, origins=origins, columns=columns)


@dataclass(frozen=True)
class Observed:
    """What a scorer gets to see of a block.

    `attention` is what it asked the block's attention for, on the row and scaled by the number of
    keys: `(tokens, heads or 1)`; None where it asked for nothing.
    """

    stream: Stream  # after the block's attention
    attention: Tensor | None = None
    module: Learned | None = None  # what the scorer has learned at this block
    learning: bool = False  # whether this is a pass that something is learned from
    linear: nn.Module | None = None  # the linear stage, for scorers that need it


@dataclass(frozen=True)
class Candidates:
    """The tokens that a selector chooses among; `lengths` and `expected` as in `Stream`."""

    scores: Tensor  # (tokens, heads or 1), importance scaled to mean 1 over each document's keys
    alive: Tensor  # (tokens, heads or 1) bool, the document's own tokens that are still there
    pinned: Tensor  # (tokens,) bool, tokens that must stay
    layout: Layout
    lengths: Tensor | None = None
    module: Learned | None = None  # what the selector has learned at this block
    learning: bool = False  # whether this is a pass that something is learned from
    expected: Tensor | None = None
    units: Tensor | None = None  # (tokens,) numbers of what each token stays or goes with

    @property
    def free(self) -> Tensor:
        """Living tokens that are not pinned, `(tokens, heads or 1)` bool."""
        return self.alive & ~self.pinned[:, None]

    @cached_property
    def counts(self) -> Tensor:
        """Living tokens, `(documents, heads or 1)` int64."""
        return self.layout.count(self.alive)


@dataclass(frozen=True)
class Choice:
    """What a selector chose; where something is learned, with a mask that is differentiable.

    `left` `(documents,)` says how many tokens count as left of each document, differentiable; None
    for those that stay, with the mask's gradients.
    """

    losers: Tensor  # (tokens, heads or 1) bool, who goes
    mask: Tensor | None = None  # (tokens, 1) in [0, 1], how much of each token stays
    left: Tensor | None = None
