"""Learned Token Pruning (S. Kim et al., KDD 2022, arXiv 2107.00910), and its manual baseline.

A threshold on the score is learned at each block: how many tokens stay depends on the document.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from tersely.reduction import Action, DropTokens, Plan, Stage, Step, register_preset
from tersely.reduction.parts import Budget, Learned, Range, number, register
from tersely.reduction.scorers import ColumnMean, scorer_of
from tersely.reduction.selectors import (
    BY_THRESHOLD,
    LEAST,
    MOST,
    LearnedSelector,
    Threshold,
    mark_below,
)
from tersely.reduction.stream import Candidates, Choice, Stream


class ThresholdParameter(Learned):
    """One threshold, at one block."""

    # In mean scores: a threshold of 0.5 can become 0 or 1 within some hundred steps.
    learning_rate = 0.01

    def __init__(self, start: float) -> None:
        super().__init__()
        self.first = start
        self.threshold = nn.Parameter(torch.empty(()))
        self.start()

    def start(self) -> None:
        nn.init.constant_(self.threshold, self.first)


@register("fade")
class Fade(Action):
    """The soft stage of Learned Token Pruning (arXiv 2107.00910).

    Nothing is removed: a block's output is multiplied by the selector's mask, and attention stays
    as it is. What was learned so is frozen to a plan that drops tokens, under which training goes
    on.
    """

    takes_masks = True
    soft = True

    def stages(self, plan: Plan) -> tuple[Stage, ...]:
        return (Stage("soft", share=0.5),)

    def soften(self, stream: Stream, mask: Tensor) -> Stream:
        return replace(stream, fading=mask.to(stream.hidden.dtype))

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        return stream

    def frozen(self, modules: Sequence[Learned]) -> DropTokens:
        return DropTokens()


@register("learned-threshold")
class LearnedThreshold(LearnedSelector):
    """Learned Token Pruning (arXiv 2107.00910): a threshold on the score is learned at each block.

    Ours removes in training what falls below, with straight-through gradients (`DropTokens`), so
    that training and use compute the same; the paper's soft masks are there with `Fade`. The mask
    of a token with score s is `σ((s − threshold) / temperature)`. Thresholds are in mean scores:
    the paper's threshold on scores of mean 1/n, in a document of n tokens, is ours over n, and that
    of its code, which divides by the padded length N, ours over N.

    Attributes:
        threshold: at the last of the step's blocks, at the start; it rises linearly up to there.
        temperature: T, in mean scores; LTMP's 0.1 by default. The paper's 0.001 on its code's scale
            with N = 128 is 0.128.
    """

    is_adjustable = True

    threshold: float = number(0.5, 0, MOST)
    temperature: float = number(0.1, 0, 1000, open_low=True)

    def at_block(self, number: int, count: int) -> Self:
        return replace(self, threshold=self.threshold * number / count)

    def module(self, width: int, heads: int) -> ThresholdParameter:
        return ThresholdParameter(self.threshold)

    def loosened(self, factor: float) -> Self:
        return replace(self, threshold=self.threshold / factor)

    def losers(self, candidates: Candidates) -> Tensor:
        return mark_below(candidates, candidates.module.threshold, self.least)

    def choose(self, candidates: Candidates) -> Choice:
        losers = self.losers(candidates)
        if not candidates.learning:
            return Choice(losers)
        over = candidates.scores - candidates.module.threshold
        return Choice(losers, self.masked(candidates, torch.sigmoid(over / self.temperature)))

    def frozen(self, modules: Sequence[Learned]) -> Threshold:
        learned = [max(0.0, module.threshold.item()) for module in modules]
        return Threshold(pin=self.pin, least=self.least, thresholds=learned)


_HIGH = {"threshold": 0.9, "least": 1}
_TARGET = Budget("target", Range(0.0, 1.0))


@register_preset(
    "ltp",
    budget=_TARGET,
    examples={"": _HIGH, "gradients": {**_HIGH, "gradients": True}},
    nothing={"threshold": 0.0},
)
def ltp(
    target: float = 0.5,
    strength: float = 10.0,
    threshold: float = 0.5,
    temperature: float = 0.1,
    gradients: bool = False,
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Learn a threshold at every block (Learned Token Pruning, arXiv 2107.00910).

    Losers are gone in training too, with straight-through gradients, and the penalty is on the
    distance from a target; `ltp-paper` is the paper's own recipe.
    """
    aim = {"target": target, "strength": strength}
    start = {"threshold": threshold, "temperature": temperature}
    select = LearnedThreshold(pin=pin, least=least, **aim, **start)
    return Plan("ltp", (Step(DropTokens(), {"start": 0}, ColumnMean(gradients=gradients), select),))


@register_preset("ltp-once", budget=_TARGET, examples={"": _HIGH}, nothing={"threshold": 0.0})
def ltp_once(
    target: float = 0.5, at: int | float = 1 / 3, threshold: float = 0.8, least: int = LEAST
) -> Plan:
    """Learn one threshold, at an early block (Learned Token Pruning, arXiv 2107.00910, once).

    As `ltp`, at the place of `topk`: how many tokens stay depends on the document, and those that
    do stay to the end.
    """
    select = LearnedThreshold(pin="first", least=least, target=target, threshold=threshold)
    return Plan("ltp-once", (Step(DropTokens(), at, ColumnMean(), select),))


@register_preset("ltp-paper", budget=_TARGET, examples={"": {"threshold": 0.9}})
def ltp_paper(
    threshold: float = 1.0,
    temperature: float = 0.128,
    regularizer: float = 0.1,
    target: float = 0.0,
    pin: str = "first",
    least: int = 1,
) -> Plan:
    """Learn thresholds by soft masks first, then train with them hard (arXiv 2107.00910).

    The temperature is the paper's 0.001 on its code's scale for 128 tokens, as is the threshold its
    0.01 or so. With a `target` above 0, what was learned is set to land on it.
    """
    aim = {"target": target or None, "strength": 0.0, "regularizer": regularizer}
    start = {"threshold": threshold, "temperature": temperature}
    select = LearnedThreshold(pin=pin, least=least, **aim, **start)
    return Plan("ltp-paper", (Step(Fade(), {"start": 0}, ColumnMean(gradients=True), select),))


@register_preset("threshold", budget=BY_THRESHOLD, examples={"": _HIGH}, nothing={"threshold": 0.0})
def threshold(
    threshold: float = 0.5, score: str = "column-mean", pin: str = "first", least: int = LEAST
) -> Plan:
    """Drop tokens below thresholds that rise from block to block (LTP's baseline)."""
    select = Threshold(threshold=threshold, pin=pin, least=least)
    return Plan("threshold", (Step(DropTokens(), {"start": 0}, scorer_of(score), select),))
