"""Actions that make fewer tokens out of more: merging, pooling, and a coarse token for the tail.

All of them come down to one thing: every token names the token that it goes into. Merged tokens
keep count of how many they stand for; means are weighted by that count, and following attention
adds its logarithm to a key's logit, as if all of them were still there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from tersely.ragged import lowest_of_columns
from tersely.reduction.actions import Action
from tersely.reduction.parts import check, check_number, register
from tersely.reduction.selectors import floor_share
from tersely.reduction.stream import Stream

__all__ = ["Fuse", "Merge", "Pool", "merge_into"]


def merge_into(stream: Stream, leaders: Tensor, shares: Tensor | None = None) -> Stream:
    """Merge each token into its leader: the mean of those that go into one, weighted by size.

    Args:
        stream: the tokens.
        leaders: `(tokens,)` int64, the row number of the token that each goes into, one of the same
            document; a leader leads itself.
        shares: `(tokens,)`, further weights in the mean, above 0; None for equal ones.

    Returns:
        The leaders, in their order, with `weights` and `groups`.
    """
    rows = torch.arange(leaders.shape[0], device=leaders.device)
    stays = leaders == rows
    places = stays.cumsum(0) - 1
    groups = places[leaders]
    sizes = stream.hidden.new_ones(leaders.shape[0]) if stream.weights is None else stream.weights
    weights = sizes if shares is None else sizes * shares.to(sizes.dtype)
    kept = stream.select(stays)
    weighted = torch.cat([stream.hidden * weights[:, None], weights[:, None], sizes[:, None]], 1)
    sums = stream.layout.sum_groups(weighted, groups, kept.layout.tokens)
    hidden = sums[:, :-2] / sums[:, -2:-1]
    return replace(kept, hidden=hidden, weights=sums[:, -1], groups=groups)


@register
@dataclass(frozen=True)
class Merge(Action):
    """ToMe (arXiv 2210.09461): the most similar pairs of tokens become one, their weighted mean.

    Tokens at even places look among those at odd places for the most similar one, by the cosine of
    their keys' means over the heads; the closest pairs merge. Ours takes a share of each document's
    tokens where the paper takes a number for fixed-size images, and leaves tokens in their order.

    Attributes:
        ratio: share of a document's tokens that is merged away at each block, at most a half.
        rule: `"mean"` as in ToMe; `"norm"` scales the mean to the members' mean norm, `"prune"`
            keeps the odd token's state, both as in ToFu (arXiv 2312.01026).
    """

    kind: ClassVar[str] = "merge"
    selects: ClassVar[bool] = False
    attention: ClassVar[str | None] = "keys"

    ratio: float = 0.1
    rule: str = "mean"

    def __post_init__(self) -> None:
        check_number("ratio", self.ratio, 0, 0.5)
        rules = ("mean", "norm", "prune")
        check(self.rule in rules, "rule", "'mean', 'norm' or 'prune'", self.rule)

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor) -> Stream:
        """The stream with pairs merged; `seen` are the keys' means `(tokens, size)`."""
        leaders = self.leaders(stream, seen)
        shares = None
        if self.rule == "prune":
            # Next to nothing of those that go, so that the mean is the leader.
            goes = leaders != torch.arange(leaders.shape[0], device=leaders.device)
            shares = torch.where(goes, 0.0, 1.0)
        merged = merge_into(stream, leaders, shares)
        if self.rule != "norm":
            return merged
        norms = replace(stream, hidden=stream.hidden.norm(dim=1, keepdim=True))
        wanted = merge_into(norms, leaders).hidden
        found = merged.hidden.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return replace(merged, hidden=merged.hidden * (wanted / found))

    def leaders(self, stream: Stream, keys: Tensor) -> Tensor:
        """The token that each token goes into, `(tokens,)`: itself, or its best match."""
        units = torch.nn.functional.normalize(keys.detach(), dim=1)
        own, layout = stream.embedded, stream.layout
        leaders = torch.arange(layout.tokens, device=keys.device)
        for run in layout.runs:
            part = slice(run.start, run.stop)
            shape = (run.documents, run.length)
            metric = units[part].view(*shape, -1)
            mine = own[part].view(shape)
            even, odd = metric[:, ::2], metric[:, 1::2]
            if not layout.symbolic and odd.shape[1] == 0:
                continue
            likeness = even @ odd.transpose(1, 2)
            free = mine[:, ::2].clone()
            free[:, 0] = False  # [CLS] goes into nothing
            likeness = likeness.masked_fill(~(free[:, :, None] & mine[:, None, 1::2]), -torch.inf)
            best, match = likeness.max(2)
            counts = (self.ratio * mine.sum(1) + 1e-9).floor().long()
            # The closest pairs are those that are not among the lowest of the others.
            others = lowest_of_columns(best.t(), best.shape[1] - counts).t()
            chosen = ~others & (best > -torch.inf)
            documents = torch.arange(run.documents, device=keys.device)[:, None]
            first = run.start + documents * run.length
            source = first + 2 * torch.arange(best.shape[1], device=keys.device)
            into = torch.where(chosen, first + 2 * match + 1, source)
            leaders = leaders.index_copy(0, source.flatten(), into.flatten())
        return leaders

    def cost(self, sizes: list[int], head_size: int) -> int:
        """MACs of comparing even with odd tokens."""
        return head_size * sum(((size + 1) // 2) * (size // 2) for size in sizes)


@register
@dataclass(frozen=True)
class Pool(Action):
    """Adaptive average pooling at one block: neighbours become their mean, without any score.

    As in length compression for long contexts and Funnel-Transformer (arXiv 2006.03236); ours pools
    each document to a share of its own length, and leaves [CLS] alone.

    Attributes:
        keep: share of a document's tokens that is left, [CLS] not counted.
    """

    kind: ClassVar[str] = "pool"
    selects: ClassVar[bool] = False

    keep: float = 0.25

    def __post_init__(self) -> None:
        check_number("keep", self.keep, 0, 1, open_low=True)

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor | None) -> Stream:
        """The stream with each stretch of neighbours as one token."""
        own, layout = stream.embedded, stream.layout
        rows = torch.arange(layout.tokens, device=own.device)
        # Own tokens stand in front of combination tokens; the first of them is [CLS].
        count = layout.count(own[:, None])[:, 0][layout.segment_ids] - 1
        # ⌈keep·n⌉ is n less the floor of the rest.
        left = (count - floor_share(count, 1 - self.keep)).clamp(min=1)
        place = layout.positions - 1
        group = (place * left).div(count.clamp(min=1), rounding_mode="floor")
        # The first place of a group g of m in n is ⌈g·n/m⌉.
        first = (group * count + left - 1).div(left, rounding_mode="floor")
        leaders = layout.offsets[:-1][layout.segment_ids] + 1 + first
        return merge_into(stream, torch.where(own & (place >= 0), leaders, rows))


@register
@dataclass(frozen=True)
class Fuse(Action):
    """FCA-BERT (arXiv 2203.09055): those that were not selected live on as a few coarse tokens.

    The tail, in its order, is cut into equal stretches, and each becomes the mean of its tokens.
    Ours weights by score without dividing a second time, and a coarse token stands where the first
    of its tokens stood, so that it may be pruned again like any other.

    Attributes:
        tokens: coarse tokens for each document; the paper's 1 or 5.
        weighted: whether a token counts by its score, or all alike.
    """

    kind: ClassVar[str] = "fuse"

    tokens: int = 1
    weighted: bool = True

    def __post_init__(self) -> None:
        whole = isinstance(self.tokens, int) and not isinstance(self.tokens, bool)
        check(whole and self.tokens > 0, "tokens", "a whole number above 0", self.tokens)
        check(isinstance(self.weighted, bool), "weighted", "true or false", self.weighted)

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor) -> Stream:
        """The stream with the losers fused; `seen` are their scores `(tokens, 1)`."""
        tail, layout = losers[:, 0], stream.layout
        running = tail.long().cumsum(0)
        counts = layout.count(tail[:, None])[:, 0]
        before = (running[layout.offsets[1:] - 1] - counts)[layout.segment_ids]
        rank = running - 1 - before  # among the document's tail
        count = counts[layout.segment_ids].clamp(min=1)
        group = (rank * self.tokens).div(count, rounding_mode="floor")
        first = (group * count + self.tokens - 1).div(self.tokens, rounding_mode="floor")
        rows = torch.arange(layout.tokens, device=tail.device)
        # The row of each of the tail by its number; what is not of it goes to the last place.
        members = torch.zeros_like(running).scatter(
            0, torch.where(tail, running - 1, layout.tokens - 1), rows
        )
        leaders = torch.where(tail, members[(before + first).clamp(max=layout.tokens - 1)], rows)
        shares = None
        if self.weighted:
            shares = seen[:, 0].detach().clamp(min=1e-6)
        return merge_into(stream, leaders, shares)
