"""Top-k: keep the best scored share of the tokens, the baseline of arXiv 2107.00910."""

from dataclasses import replace

from torch import Tensor

from tersely.reduction import Candidates, DropTokens, Plan, Step, register, register_preset
from tersely.reduction.scorers import scorer_of
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio, keep_count, mark_lowest

_HALF = {"keep": 0.5, "least": 1}


@register("linear-ratio")
class LinearRatio(Ratio):
    """Learned Token Pruning's baseline (arXiv 2107.00910): top-k with linear keep rates.

    At the k-th of the step's K blocks, `1 − (1 − keep)·k/K` of the document's first tokens are
    left, so that `keep` of them leave the last one.
    """

    def at_block(self, number: int, count: int) -> Ratio:
        return replace(self, keep=1 - (1 - self.keep) * number / count)

    def losers(self, candidates: Candidates) -> Tensor:
        stay = keep_count(candidates.lengths, self.keep, self.least)[:, None]
        return mark_lowest(candidates, candidates.counts - stay)


@register_preset(
    "topk",
    budget=BY_SHARE,
    examples={
        "": _HALF,
        "linear": {**_HALF, "keep": 0.3, "linear": True},
        "column-mean-values": {**_HALF, "score": "column-mean-values"},
    },
    nothing={"keep": 1.0},
)
def topk(
    keep: float = 0.4,
    at: int | float = 1 / 3,
    score: str = "column-mean",
    linear: bool = False,
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Keep the highest-scoring tokens from one block on, or at linear rates (LTP's baseline).

    By default at one block, since few points of reduction did better than one for each block; on
    six blocks and documents of some 200 tokens, 0.4 is about half of the MACs. With
    `linear`, at every block from the first one, as in Learned Token Pruning (arXiv 2107.00910).
    """
    select = (LinearRatio if linear else Ratio)(keep=keep, pin=pin, least=least)
    blocks = {"start": 0} if linear else at
    return Plan("topk", (Step(DropTokens(), blocks, scorer_of(score), select),))
