"""Length-Adaptive Transformer (arXiv 2010.07003): one model for many budgets."""

import torch
from torch import Tensor

from tersely.reduction import Candidates, DropTokens, Plan, Step, register_preset
from tersely.reduction.parts import number, register
from tersely.reduction.scorers import scorer_of
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio, mark_lowest


@register("length-drop")
class LengthDrop(Ratio):
    """Length-Adaptive Transformer (arXiv 2010.07003): `⌈keep · t⌉` of the block's t tokens stay.

    At each of the step's blocks anew, so that lengths fall geometrically; training draws the shares
    of its blocks at random between `keep` and 1 (`tersely.training.distillation`). The paper's
    lengths start from the longest document's; ours are shares of each document's own.
    """

    randomised = True

    keep: float = number(0.8, 0, 1, open_low=True)  # at least; 1 − p with the paper's p of 0.2

    def losers(self, candidates: Candidates) -> Tensor:
        counts = candidates.counts
        # A tensor, since exporters write a Python number as a float of 32 bits.
        share = torch.as_tensor(self.keep, dtype=torch.float64, device=counts.device)
        stay = (counts.double() * share - 1e-9).ceil().long()
        return mark_lowest(candidates, counts - stay.clamp(min=self.least))


@register_preset(
    "lat",
    budget=BY_SHARE,
    examples={
        "": {"keep": 0.6, "least": 1},
        "start 2": {"keep": 0.5, "start": 2, "pin": "ends", "least": 1},
    },
    nothing={"keep": 1.0},
)
def lat(
    keep: float = 0.8,
    start: int | float = 0,
    score: str = "column-mean",
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Drop a share of the tokens at every block, trained for all shares (LAT, arXiv 2010.07003).

    One checkpoint serves every budget from that of `keep` to the dense model's.
    """
    select = LengthDrop(keep=keep, pin=pin, least=least)
    step = Step(DropTokens(), {"start": start}, scorer_of(score), select)
    return Plan("lat", (step,))
