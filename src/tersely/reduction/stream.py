"""The tokens on their way through the encoder, and what a selector gets to see of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tersely.ragged import Layout, Ragged
from tersely.reduction.learned import Learned
from tersely.reduction.words import Words

__all__ = ["Candidates", "Observed", "Stream"]


@dataclass(frozen=True)
class Stream:
    """The living tokens between two steps.

    Attributes:
        hidden: `(tokens, hidden)`.
        layout: the documents' boundaries.
        origins: `(tokens,)` int64: each token's place in its original document, −1 for a
            combination token, which has none.
        key_mask: the tokens that are still keys and values of the next attention, `(tokens,)` or
            `(tokens, heads)` bool; None for all.
        lengths: tokens that each document had before anything left, `(documents,)` int64.
        weights: `(tokens,)`, how many tokens each one stands for where some were merged; None where
            each is one.
        groups: for each token that entered the last action, the row number of the token that it
            was merged into; None where nothing was merged.
        aside: tokens that are away and come back; None where there are none.
        expected: `(documents,)`, how many tokens of each document count as left, with the gradients
            of learned selectors; None where nothing learns.
        fading: `(tokens, 1)`, what the block's output is multiplied by; None for nothing.
        saliency: `(tokens,)`, how much each token matters to the dense model; None where unknown.
        words: what patterns may know of the tokens; None under a plan without patterns.
    """

    hidden: Tensor
    layout: Layout
    origins: Tensor
    key_mask: Tensor | None = None
    lengths: Tensor | None = None
    weights: Tensor | None = None
    groups: Tensor | None = None
    aside: Stream | None = None
    expected: Tensor | None = None
    fading: Tensor | None = None
    saliency: Tensor | None = None
    words: Words | None = None

    @property
    def positions(self) -> Tensor:
        """Positions for rotations, `(tokens,)`: a combination token stands at 0, unrotated."""
        return self.origins.clamp(min=0)

    @property
    def embedded(self) -> Tensor:
        """`(tokens,)` bool: the document's own tokens, not the combination tokens."""
        return self.origins >= 0

    def ends(self) -> Tensor:
        """`(tokens,)` bool: the first and the last own token of each document ([CLS], [SEP])."""
        own = self.embedded
        last = torch.full_like(self.layout.offsets[:-1], -1)
        last = last.scatter_reduce(0, self.layout.segment_ids, self.origins, "amax")
        return own & ((self.origins == 0) | (self.origins == last[self.layout.segment_ids]))

    def drop_keys(self, losers: Tensor) -> Stream:
        """Take `losers`, `(tokens, heads or 1)` bool, out of the keys of the next blocks."""
        losers = losers[:, 0] if losers.shape[1] == 1 else losers
        if self.key_mask is None:
            return replace(self, key_mask=~losers)
        mask = self.key_mask
        if mask.dim() != losers.dim():
            mask, losers = mask.view(mask.shape[0], -1), losers.view(losers.shape[0], -1)
        return replace(self, key_mask=mask & ~losers)

    def drop_tokens(self, losers: Tensor) -> Stream:
        """Take `losers`, `(tokens, 1)` bool, out of the stream: they are gone from here on."""
        return self.select(~losers[:, 0])

    def set_aside(self, losers: Tensor) -> Stream:
        """Put `losers`, `(tokens, 1)` bool, aside as they are, until `bring_back`."""
        goes = losers[:, 0]
        return replace(self.select(~goes), aside=self.select(goes))

    def bring_back(self) -> Stream:
        """The stream with the tokens that were put aside, each at its place in its document."""
        parts = (self, self.aside)
        segment_ids = torch.cat([part.layout.segment_ids for part in parts])
        origins = torch.cat([part.origins for part in parts])
        order = (segment_ids * (self.lengths.max() + 1) + origins).argsort()
        return replace(
            self,
            hidden=torch.cat([part.hidden for part in parts])[order],
            layout=Layout.from_lengths(self.layout.lengths + self.aside.layout.lengths),
            origins=origins[order],
            aside=None,
        )

    def with_combination_tokens(self, tokens: Tensor) -> Stream:
        """The stream with combination tokens, `(m, hidden)`, at the end of each document."""
        count, row = len(tokens), Ragged(self.hidden, self.layout).append(tokens)
        none = torch.full((count,), -1, device=self.hidden.device)
        words = self.words
        return replace(
            self,
            hidden=row.values,
            layout=row.layout,
            origins=Ragged(self.origins, self.layout).append(none).values,
            words=None if words is None else words.with_combination_tokens(self.layout, count),
        )

    def select(self, keep: Tensor) -> Stream:
        """The tokens where `keep`, `(tokens,)` bool, is true."""
        index = keep.nonzero()[:, 0]
        layout = self.layout.keep(keep, index)

        def take(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.index_select(0, index)

        return replace(
            self,
            hidden=take(self.hidden),
            layout=layout,
            origins=take(self.origins),
            key_mask=take(self.key_mask),
            weights=take(self.weights),
            saliency=take(self.saliency),
            words=None if self.words is None else self.words.select(keep),
        )


@dataclass(frozen=True)
class Observed:
    """What a scorer gets to see of a block.

    Attributes:
        stream: the tokens after the block's attention.
        before: their hidden states before it, `(tokens, hidden)`.
        attention: what the scorer asked the block's attention for, on the row and scaled by the
            number of keys: `(tokens, heads or 1)`; None where it asked for nothing.
        words: running importance of each token's word, `(tokens,)`; None where no score asks.
        module: what the scorer has learned at this block; None where it learns nothing.
        learning: whether this is a pass that something is learned from.
    """

    stream: Stream
    before: Tensor
    attention: Tensor | None = None
    words: Tensor | None = None
    module: Learned | None = None
    learning: bool = False


@dataclass(frozen=True)
class Candidates:
    """The tokens that a selector chooses among.

    Attributes:
        scores: `(tokens, heads or 1)`, importance scaled to mean 1 over each document's keys.
        alive: `(tokens, heads or 1)` bool, the document's own tokens that are still there.
        pinned: `(tokens,)` bool, tokens that must stay.
        layout: the documents' boundaries.
        lengths: tokens that each document had before anything left, `(documents,)` int64.
        module: what the selector has learned at this block; None where it learns nothing.
        learning: whether this is a pass that something is learned from.
        expected: as in `Stream`.
    """

    scores: Tensor
    alive: Tensor
    pinned: Tensor
    layout: Layout
    lengths: Tensor | None = None
    module: Learned | None = None
    learning: bool = False
    expected: Tensor | None = None

    @cached_property
    def counts(self) -> Tensor:
        """Living tokens, `(documents, heads or 1)` int64."""
        return self.layout.count(self.alive)
