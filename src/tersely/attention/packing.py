"""What a packed attention call needs to know: documents, keys, who sees whom, the scores asked for.

A `Packing` rides as the keyword argument `packing` through transformers' own blocks down to the
attention function, which hands the scores back in the place of the attention weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from torch import Tensor

from tersely.ragged import Layout

Pairs = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Band:
    """A band around the diagonal that holds all of a pattern."""

    reaches: list[int]  # of each document, how far apart in it are connected tokens, globals aside
    first: int = 0  # how many of a document's first positions may be connected to all
    exact: bool = False  # whether that is the pattern, and not only holds it, for all heads alike


@dataclass(frozen=True)
class Connections:
    """Who sees whom in one block, where a plan thins the attention.

    Of row numbers `(documents, 1, queries, 1)` and `(documents, heads or 1, 1, keys)`, `sees` says
    which pairs are connected, `(documents, heads or 1, queries, keys)` bool. What it says of pairs
    of two documents is not used. While a pattern is being learned, `logs` are logarithms of
    weights, −∞ where a pair is not connected: adding log m multiplies attention by m.
    """

    sees: Pairs
    band: Band | None = None  # that holds them; None where they may lie anywhere
    logs: Pairs | None = None


@dataclass(frozen=True)
class KeySet:
    """The keys that are left of a row, gathered document by document.

    Two documents of three tokens, and which keys two heads have left of them:

        tokens          a  b  c | d  e  f
        head 0          a  .  c | d  .  .         places:  a  c | d
        head 1          .  b  . | d  .  .                  b  * | d      * is not filled

    A place that is not filled holds some token of its document, and gets no attention.
    """

    layout: Layout  # how many key places each document has
    index: Tensor  # the row of each place's token, `(keys,)`, or `(keys, heads)` of each head
    filled: Tensor | None = None  # `(keys, heads)` bool; None for all
    in_place: bool = False  # whether the places are the row's own, so that nothing is gathered

    @property
    def per_head(self) -> bool:
        """Whether each head has a set of its own."""
        return self.index.dim() == 2

    @property
    def most(self) -> Tensor:
        """The keys of the head that has most of them, `(documents,)`."""
        return self.layout.count(self.filled).amax(1) if self.in_place else self.layout.lengths

    @property
    def sizes(self) -> list[int]:
        """The same as numbers."""
        return self.most.tolist() if self.in_place else self.layout.sizes

    @classmethod
    def hidden(cls, mask: Tensor, layout: Layout) -> Self:
        """Leave all tokens in place, and hide those where `mask`, `(tokens, heads)`, is false.

        Where most keys are left, gathering costs more than fewer places save.
        """
        rows = torch.arange(layout.tokens, device=mask.device)
        return cls(layout, rows[:, None].expand_as(mask), mask, in_place=True)

    @classmethod
    def from_mask(cls, mask: Tensor, layout: Layout) -> Self:
        """Gather the tokens where `mask`, `(tokens,)` or `(tokens, heads)`, is true."""
        if mask.dim() == 1:
            index = mask.nonzero()[:, 0]
            return cls(layout.keep(mask, index), index)
        if layout.symbolic:
            return cls(*_keys_of_one(mask, layout))
        # Head by head, since that is how the kept tokens come in order.
        heads, counts = mask.shape[1], layout.count(mask).t()  # (heads, documents)
        token = mask.t().contiguous().nonzero()[:, 1].contiguous()
        if bool((counts == counts[:1]).all()):
            return cls(Layout.from_lengths(counts[0]), token.view(heads, -1).t())
        places = Layout.from_lengths(counts.amax(0))
        # A kept token's place: the first of its head and document, and its number among them.
        firsts = places.offsets[:-1] + places.tokens * torch.arange(heads)[:, None].to(mask.device)
        counts = counts.flatten()
        shift = firsts.flatten() - (counts.cumsum(0) - counts)
        place = torch.arange(len(token), device=mask.device)
        place = place + shift.repeat_interleave(counts, output_size=len(token))
        filler = layout.offsets[:-1][places.segment_ids]
        index = filler.repeat(heads).index_copy_(0, place, token)
        filled = torch.zeros_like(index, dtype=torch.bool).index_fill_(0, place, True)
        return cls(places, index.view(heads, -1).t(), filled.view(heads, -1).t())

    def take(self, row: Tensor) -> Tensor:
        """Gather `(keys, heads, size)` from a row `(tokens, heads, size)`."""
        if self.in_place:
            return row
        if not self.per_head:
            return row.index_select(0, self.index)
        # One flat index_select: torch.gather took five times as long (2026-11-22, Skylake). Head by
        # head, as the index lies in memory and as the products of attention read it.
        heads = row.shape[1]
        flat = self.index.t() * heads + torch.arange(heads, device=row.device)[:, None]
        taken = row.reshape(-1, row.shape[2]).index_select(0, flat.reshape(-1))
        return taken.view(heads, -1, row.shape[2]).transpose(0, 1)

    def scatter(self, scores: Tensor, tokens: int) -> Tensor:
        """Put scores of key places, `(keys, heads)`, back on the row, `(tokens, heads)`, else 0."""
        heads = scores.shape[1]
        if self.in_place:
            return scores * self.filled
        if not self.per_head:
            return scores.new_zeros(tokens, heads).index_copy(0, self.index, scores)
        if self.filled is not None:
            scores = scores * self.filled
        flat = self.index * heads + torch.arange(heads, device=scores.device)
        row = scores.new_zeros(tokens * heads).scatter_add(0, flat.flatten(), scores.flatten())
        return row.view(tokens, heads)


def _keys_of_one(mask: Tensor, layout: Layout) -> tuple[Layout, Tensor, Tensor]:
    """The fields of a `KeySet` of one document, without a branch on how many keys a head has."""
    counts = mask.long().sum(0, keepdim=True)  # (1, heads)
    # Row numbers of as many places as the head with most keys has; their number is a symbol.
    some_head = (torch.arange(layout.tokens, device=mask.device) < counts.max()).nonzero()[:, 0]
    places = layout.keep(mask, some_head)
    # What is no key goes to one place behind all others, which is then left out.
    rows = torch.arange(layout.tokens, device=mask.device)[:, None].expand_as(mask)
    target = torch.where(mask, mask.long().cumsum(0) - 1, torch.full_like(rows, layout.tokens))
    index = rows.new_zeros(layout.tokens + 1, mask.shape[1]).scatter(0, target, rows)
    return places, index.index_select(0, some_head), some_head[:, None] < counts


@dataclass(frozen=True)
class ScoreRequest:
    """Which importance scores to return with the attention.

    `"column"` is the mean attention that a key receives from its document's queries, `"keys"` no
    score, but the keys themselves, mean over the heads, `(tokens, size)`.
    """

    kind: Literal["column", "keys"] = "column"
    per_head: bool = False  # or the mean over the heads
    counted: Tensor | None = None  # (tokens,) bool, the queries that count; None for all
    diagonal: bool = True  # what a token pays to itself counts; else all tokens must be keys
    values: bool = False  # multiply a key's score in each head by the norm of its value
    differentiable: bool = False  # let gradients flow through the scores


@dataclass
class Packing:
    """One packed attention call: the queries' documents, their keys, the scores wanted.

    Attributes:
        positions: `(tokens,)` original positions for windows and relative biases; −1 marks a global
            token, which sees and is seen by all. None when no token has left its document.
        weights: `(tokens,)`, how many tokens each one stands for, whose logarithm is added to a
            key's logits (ToMe's proportional attention, arXiv 2210.09461). None for one each.
        relative: `(heads, 2 · reach + 1)`, what is added to the logit of a key that lies d original
            positions behind its query, at index d + reach; a key that lies further away gets the
            outermost. A global token is taken to stand at position 0.
        pairs: what the back end reports: the pairs of a query and a key place that each head
            computed, a figure a document; empty for all. Copies made with `replace` share it.
        calls: how often attention was computed with this packing; a caller checks it, so that an
            encoder which bypasses the packed function cannot go unnoticed.
    """

    layout: Layout  # of the queries
    keys: KeySet | None = None  # None for all tokens of the row
    scores: ScoreRequest | None = None
    positions: Tensor | None = None
    window: int | None = None  # the encoder's own: so far away a key is no longer seen
    backend: Literal["auto", "loop", "padded", "dense", "varlen"] = "auto"
    weights: Tensor | None = None
    dropout: float | None = None  # of an attention weight in training; None for the encoder's
    connections: Connections | None = None
    relative: Tensor | None = None
    pairs: list[int] = field(default_factory=list, compare=False)
    calls: int = field(default=0, compare=False)

    @property
    def key_layout(self) -> Layout:
        """Documents of the keys."""
        return self.layout if self.keys is None else self.keys.layout

    @property
    def biased(self) -> bool:
        """Whether anything is added to the logits of single pairs."""
        soft = self.connections is not None and self.connections.logs is not None
        return soft or self.relative is not None

    def key_rows(self) -> Tensor:
        """Return the row number of the token in each key place, `(keys, 1)` or `(keys, heads)`."""
        if self.keys is None:
            return torch.arange(self.layout.tokens, device=self.layout.device)[:, None]
        return self.keys.index if self.keys.per_head else self.keys.index[:, None]

    def terms(
        self, queries: Callable[[], Tensor], take: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what queries may see, and what is added to their logits; None for all, nothing.

        `queries` makes their row numbers, `(documents, 1, queries, 1)`, and `take` cuts figures of
        key places, `(keys, heads or 1)`, into `(documents, keys, heads or 1)`. The result is
        broadcastable to `(documents, heads, queries, keys)`.
        """
        mask = bias = None
        if self.keys is not None and self.keys.filled is not None:
            filled = take(self.keys.filled)
            # Asking a device would wait for it, and a graph cannot be asked.
            asked = filled.device.type == "cpu" and not self.layout.symbolic
            if not (asked and bool(filled.all())):
                mask = filled.transpose(1, 2)[:, :, None, :]
        if self.window is not None or self.connections is not None or self.biased:
            pairs = queries(), take(self.key_rows()).transpose(1, 2)[:, :, None, :]
            seen, bias = self.mask(*pairs), self.bias(*pairs)
            if seen is not None:
                mask = seen if mask is None else mask & seen
        return mask, bias

    def mask(self, queries: Tensor, keys: Tensor) -> Tensor | None:
        """Return the pairs that the window and the pattern leave, None for all.

        Of row numbers `(documents, 1, queries, 1)` and `(documents, heads or 1, 1, keys)`:
        `(documents, heads or 1, queries, keys)` bool.
        """
        seen = None
        if self.window is not None:
            places = self.layout.positions if self.positions is None else self.positions
            q, k = places[queries], places[keys]
            seen = ((q - k).abs() < self.window) | (q < 0) | (k < 0)
        if self.connections is not None:
            pattern = self.connections.sees(queries, keys)
            seen = pattern if seen is None else seen & pattern
        return seen

    def bias(self, queries: Tensor, keys: Tensor) -> Tensor | None:
        """Return what is added to the logits of pairs, as `mask` returns who sees whom."""
        logs = self.connections and self.connections.logs and self.connections.logs(queries, keys)
        if self.relative is None:
            return logs
        if self.positions is not None:
            places = self.positions.clamp(min=0)
            distances = places[keys] - places[queries]
        elif self.keys is not None:
            distances = keys - queries
        else:
            # The same for all documents: nobody has left, so places differ as row numbers do.
            distances = keys[:1] - queries[:1]
        reach = self.relative.shape[1] // 2
        index = distances.clamp(-reach, reach) + reach  # (documents, heads or 1, queries, keys)
        heads = len(self.relative)
        table = self.relative[None, :, None].expand(len(index), -1, index.shape[2], -1)
        found = table.gather(3, index.expand(-1, heads, -1, -1))
        return found if logs is None else found + logs
