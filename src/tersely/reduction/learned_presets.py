"""Presets of methods that learn how many tokens stay.

They aim at a target for the MACs, over those of the dense model: a half by default, and
what `--target-flops` says otherwise.
"""

from __future__ import annotations

from tersely.reduction.actions import DropTokens, Fade
from tersely.reduction.degrees import LearnedNeighbours
from tersely.reduction.learning import LearnedShares, LearnedSkim, LearnedThreshold
from tersely.reduction.plan import Plan
from tersely.reduction.predictor import Predictor
from tersely.reduction.scorers import ColumnMean
from tersely.reduction.step import Step

__all__ = ["adapler", "breaking_bert", "ltp", "ltp_once", "ltp_paper", "power_bert", "transkimmer"]

_ALL = {"start": 0}


def ltp(
    target: float = 0.5,
    strength: float = 10.0,
    threshold: float = 0.5,
    temperature: float = 0.1,
    gradients: bool = False,
    pin: str = "first",
) -> Plan:
    """Learn a threshold at every block (Learned Token Pruning, arXiv 2107.00910).

    Losers are gone in training too, with straight-through gradients, and the penalty is on the
    distance from a target; `ltp-paper` is the paper's own recipe.
    """
    select = LearnedThreshold(
        pin=pin, target=target, strength=strength, threshold=threshold, temperature=temperature
    )
    return Plan("ltp", (Step(DropTokens(), _ALL, ColumnMean(gradients=gradients), select),))


def ltp_once(
    target: float = 0.5,
    at: int | float = 1 / 3,
    strength: float = 10.0,
    threshold: float = 0.8,
    temperature: float = 0.1,
    gradients: bool = False,
    pin: str = "first",
) -> Plan:
    """Learn one threshold, at an early block (Learned Token Pruning, arXiv 2107.00910, once).

    As `ltp`, at the place of `topk`: how many tokens stay depends on the document, and those that
    do stay to the end.
    """
    select = LearnedThreshold(
        pin=pin, target=target, strength=strength, threshold=threshold, temperature=temperature
    )
    return Plan("ltp-once", (Step(DropTokens(), at, ColumnMean(gradients=gradients), select),))


def ltp_paper(
    threshold: float = 1.0,
    temperature: float = 0.128,
    regularizer: float = 0.1,
    pin: str = "first",
) -> Plan:
    """Learn thresholds by soft masks first, then train with them hard (arXiv 2107.00910).

    The temperature is the paper's 0.001 on its code's scale for 128 tokens, as is the threshold its
    0.01 or so.
    """
    select = LearnedThreshold(
        pin=pin,
        strength=0.0,
        threshold=threshold,
        temperature=temperature,
        regularizer=regularizer,
    )
    return Plan("ltp-paper", (Step(Fade(), _ALL, ColumnMean(gradients=True), select),))


def power_bert(
    target: float = 0.5,
    strength: float = 10.0,
    bins: int = 100,
    regularizer: float = 0.0,
    pin: str = "first",
) -> Plan:
    """Learn the share of tokens that every block keeps (PoWER-BERT, arXiv 2001.08950)."""
    select = LearnedShares(
        pin=pin, target=target, strength=strength, bins=bins, regularizer=regularizer
    )
    score = ColumnMean(diagonal=False)
    return Plan("power-bert", (Step(Fade(after="attention"), _ALL, score, select),))


def transkimmer(
    target: float = 0.5,
    strength: float = 10.0,
    hidden: int = 32,
    regularizer: float = 0.0,
    temperature: float = 1.0,
    noise: bool = True,
    bias: float = 2.0,
    pin: str = "first",
) -> Plan:
    """Predict at every block which tokens go, end to end (Transkimmer, arXiv 2205.07324)."""
    select = LearnedSkim(
        pin=pin,
        target=target,
        strength=strength,
        regularizer=regularizer,
        temperature=temperature,
        noise=noise,
    )
    score = Predictor(hidden=hidden, output="probability", bias=bias)
    return Plan("transkimmer", (Step(DropTokens(), _ALL, score, select),))


def adapler(
    target: float = 0.5,
    strength: float = 10.0,
    hidden: int = 32,
    saliency: float = 0.1,
    threshold: float = 0.5,
    temperature: float = 0.1,
    pin: str = "first",
) -> Plan:
    """Predict what the dense model's gradients find important (AdapLeR, arXiv 2203.08991)."""
    select = LearnedThreshold(
        pin=pin, target=target, strength=strength, threshold=threshold, temperature=temperature
    )
    score = Predictor(hidden=hidden, saliency=saliency)
    return Plan("adapler", (Step(DropTokens(), _ALL, score, select),))


def breaking_bert(
    target: float = 0.78,
    by: str = "degrees",
    heads: str = "mean",
    most: int = 512,
    strength: float = 10.0,
    start: int | float = 0.5,
) -> Plan:
    """Learn how far layers look, then freeze it (after Breaking BERT, arXiv 2210.03841; ours).

    The paper's algorithm is not known to us beyond its abstract; see `tersely.reduction.degrees`.
    The target is a sparsity of attention here, the abstract's 78 % at the later layers.
    """
    pattern = LearnedNeighbours(by=by, heads=heads, target=target, most=most, strength=strength)
    return Plan("breaking-bert", (Step(pattern, {"start": start}),))
