"""Top-k: keep the best scored share of the tokens, the baseline of arXiv 2107.00910."""

from __future__ import annotations

from tersely.reduction.actions import DropTokens
from tersely.reduction.parts import SHARE, Budget
from tersely.reduction.plan import Plan
from tersely.reduction.presets import register_preset
from tersely.reduction.scorers import scorer_of
from tersely.reduction.selectors import LEAST, LinearRatio, Ratio
from tersely.reduction.step import Step


@register_preset(
    "topk",
    budget=Budget("keep", SHARE),
    examples={
        "": {"keep": 0.5, "least": 1},
        "linear": {"keep": 0.3, "linear": True, "least": 1},
        "first-row-values": {"keep": 0.5, "score": "first-row-values", "least": 1},
        "row-max": {"keep": 0.5, "score": "row-max", "least": 1},
        "hidden-change": {"keep": 0.5, "score": "hidden-change", "least": 1},
        "column-mean-values": {"keep": 0.5, "score": "column-mean-values", "least": 1},
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
    """Keep the best scored tokens from one block on, or with linear keep rates (LTP's baseline).

    By default at one block, since few points of reduction did better than one for each block; on
    six blocks and documents of some 200 tokens, 0.4 is about half of the MACs. With
    `linear`, at every block from the first one, as in Learned Token Pruning (arXiv 2107.00910).
    """
    scorer = scorer_of(score)
    if linear:
        step = Step(
            DropTokens(), {"start": 0}, scorer, LinearRatio(keep=keep, pin=pin, least=least)
        )
    else:
        step = Step(DropTokens(), at, scorer, Ratio(keep=keep, pin=pin, least=least))
    return Plan("topk", (step,))
