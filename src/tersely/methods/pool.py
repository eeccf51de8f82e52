"""Adaptive average pooling: neighbours become their mean, a baseline without any score."""

import torch
from torch import Tensor

from tersely.reduction import Action, Plan, Step, Stream, register_preset
from tersely.reduction.parts import number, register, whole
from tersely.reduction.selectors import BY_SHARE, LEAST, floor_share


@register("pool")
class Pool(Action):
    """Adaptive average pooling at one block: neighbours become their mean, without any score.

    As in length compression for long contexts and Funnel-Transformer (arXiv 2006.03236); ours pools
    each document to a share of its own length, and leaves [CLS] alone.
    """

    selects = False
    budget = BY_SHARE

    keep: float = number(0.25, 0, 1, open_low=True)  # of a document's tokens, [CLS] not counted
    least: int = whole(LEAST)  # tokens that a document keeps at least; who has no more loses none

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor | None) -> Stream:
        own, layout = stream.embedded, stream.layout
        # Own tokens stand in front of combination tokens; the first of them is [CLS].
        count = layout.count(own[:, None])[:, 0][layout.segment_ids] - 1
        # ⌈keep·n⌉ is n less the floor of the rest.
        left = (count - floor_share(count, 1 - self.keep)).clamp(min=max(1, self.least - 1))
        left = torch.minimum(left, count.clamp(min=1))
        place = layout.positions - 1
        group = (place * left).div(count.clamp(min=1), rounding_mode="floor")
        # The first place of a group g of m in n is ⌈g·n/m⌉.
        first = (group * count + left - 1).div(left, rounding_mode="floor")
        leaders = layout.offsets[:-1][layout.segment_ids] + 1 + first
        rows = torch.arange(layout.tokens, device=own.device)
        return stream.merge(torch.where(own & (place >= 0), leaders, rows))


@register_preset(
    "pool", budget=BY_SHARE, examples={"": {"keep": 0.4, "least": 1}}, nothing={"keep": 1.0}
)
def pool(keep: float = 0.25, at: int | float = 1 / 3, least: int = LEAST) -> Plan:
    """Average neighbours at one block, to a share of each document's length."""
    return Plan("pool", (Step(Pool(keep=keep, least=least), at),))
