"""FCA-BERT (arXiv 2203.09055): the best tokens stay fine, the others live on as coarse ones."""

import torch
from torch import Tensor

from tersely.reduction import Action, ColumnMean, Plan, Step, Stream, register_preset
from tersely.reduction.parts import flag, register, whole
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio


@register("fuse")
class Fuse(Action):
    """FCA-BERT (arXiv 2203.09055): those that were not selected live on as a few coarse tokens.

    The tail, in its order, is cut into equal stretches, and each becomes the mean of its tokens.
    Ours weights by score without dividing a second time, and a coarse token stands where the first
    of its tokens stood, so that it may be pruned again like any other.
    """

    tokens: int = whole(1)  # coarse ones for each document; the paper's 1 or 5
    weighted: bool = flag(True)  # whether a token counts by its score, or all alike

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor) -> Stream:
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
        shares = seen[:, 0].detach().clamp(min=1e-6) if self.weighted else None
        return stream.merge(leaders, shares)


@register_preset(
    "fca",
    budget=BY_SHARE,
    examples={
        "": {"keep": 0.4, "least": 1},
        "five": {"keep": 0.3, "tokens": 5, "weighted": False, "least": 1},
    },
    nothing={"keep": 1.0},
)
def fca(
    keep: float = 0.25,
    at: int | float = 1 / 3,
    tokens: int = 1,
    weighted: bool = True,
    least: int = LEAST,
) -> Plan:
    """Keep the highest-scoring tokens, and condense the rest (FCA-BERT, arXiv 2203.09055)."""
    action = Fuse(tokens=tokens, weighted=weighted)
    select = Ratio(keep=keep, pin="first", least=least)
    return Plan("fca", (Step(action, at, ColumnMean(diagonal=False), select),))
