"""Transkimmer (Y. Guan et al., ACL 2022, arXiv 2205.07324): a small network says who stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from tersely.reduction import DropTokens, Plan, Scorer, Step, register_preset
from tersely.reduction.parts import Budget, Learned, Range, flag, number, register, whole
from tersely.reduction.selectors import LEAST, LearnedSelector, Threshold, mark_below
from tersely.reduction.stream import Candidates, Choice, Observed


@register("learned-skim")
class LearnedSkim(LearnedSelector):
    """Transkimmer (arXiv 2205.07324): tokens that a predictor finds less likely than not leave.

    The scores are probabilities that a token stays (`Predictor`). In
    training each gets Gumbel noise, and gradients come straight through. Ours draws noise in
    training alone, where the released code draws it in use too; tokens that leave are not read
    again at the end; and attention is masked on its logits, not on its weights after the softmax.

    Attributes:
        temperature: τ of the mask; the paper's 1.
        noise: whether to draw noise in training.
    """

    temperature: float = number(1.0, 0, 1000, open_low=True)
    noise: bool = flag(True)

    def losers(self, candidates: Candidates) -> Tensor:
        """Return the tokens that go, `(tokens, 1)` bool; the best `least` stay."""
        return mark_below(candidates, 0.5, self.least)

    def choose(self, candidates: Candidates) -> Choice:
        """Return who goes, and in training the mask, both with the same noise."""
        if not candidates.learning:
            return Choice(self.losers(candidates))
        tiny = torch.finfo(candidates.scores.dtype).eps
        logits = torch.logit(candidates.scores, eps=tiny)
        if self.noise:
            # The difference of two Gumbel variables is logistic.
            logits = logits + torch.logit(torch.rand_like(logits), eps=tiny)
        mask = torch.sigmoid(logits / self.temperature)
        losers = self.losers(replace(candidates, scores=mask))
        return Choice(losers, self.masked(candidates, mask))

    def frozen(self, modules: Sequence[Learned | None]) -> Threshold:
        """Return a threshold of a half at every block."""
        return Threshold(pin=self.pin, least=self.least, thresholds=[0.5] * len(modules))


class PredictorNetwork(Learned):
    """Norm, linear layer, norm, GELU, linear layer: states `(tokens, width)` to `(tokens, 1)`.

    Args:
        width: size of the states.
        hidden: size in the middle.
        bias: what the output starts from; None for an output without a bias.
    """

    # New weights beside trained ones, in few steps.
    learning_rate = 1e-3

    def __init__(self, width: int, hidden: int, bias: float | None) -> None:
        super().__init__()
        self.first = bias
        self.input_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.inner_norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, 1, bias=bias is not None)
        self.start()

    def start(self) -> None:
        """Return small random weights, and the first output for every token."""
        for norm in (self.input_norm, self.inner_norm):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        for linear in (self.inner, self.output):
            nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.inner.bias)
        if self.first is not None:
            nn.init.constant_(self.output.bias, self.first)

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits, `(tokens, 1)`."""
        inner = self.inner_norm(self.inner(self.input_norm(hidden)))
        return self.output(nn.functional.gelu(inner))


@register("predictor")
class Predictor(Scorer):
    """Transkimmer (arXiv 2205.07324): the predicted probability that a token stays.

    The paper predicts in front of a block; ours sees the states after its attention, where all
    methods here choose tokens. The paper's inner layer is as wide as the states and takes 8 % of a
    block's MACs; the 32 of the default, AdapLeR's, take some thousandths.

    Attributes:
        hidden: size of the inner layer.
        bias: logit of the probability before anything is learned. The paper's 5 takes many steps to
            come down.
        trained: whether it has learned already, so that a selector need not teach it.
    """

    learns = True
    is_scaled = False  # they are probabilities

    hidden: int = whole(32)
    bias: float = number(2.0, -20, 20)
    trained: bool = flag(False)

    @property
    def needs_teaching(self) -> bool:
        """Whether it learns from nothing but a selector's masks."""
        return not self.trained

    def module(self, width: int, heads: int) -> PredictorNetwork:
        """Return the network of one block."""
        return PredictorNetwork(width, self.hidden, self.bias)

    def frozen(self, modules: Sequence[Learned | None]) -> Self:
        """Return the same, marked as trained; the networks stay."""
        return replace(self, trained=True)

    def score(self, seen: Observed) -> Tensor:
        """Return probabilities, `(tokens, 1)`."""
        return torch.sigmoid(seen.module(seen.stream.hidden).float())

    def cost_of_token(self, width: int) -> int:
        """Return the MACs of the network for each token."""
        return (width + 1) * self.hidden


@register_preset(
    "transkimmer",
    budget=Budget("target", Range(0.0, 1.0)),
    examples={"": {"bias": 0.3, "least": 1}},
)
def transkimmer(
    target: float = 0.5,
    strength: float = 10.0,
    hidden: int = 32,
    regularizer: float = 0.0,
    temperature: float = 1.0,
    noise: bool = True,
    bias: float = 2.0,
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Predict at every block which tokens to drop, end to end (Transkimmer, arXiv 2205.07324)."""
    select = LearnedSkim(
        pin=pin,
        least=least,
        target=target,
        strength=strength,
        regularizer=regularizer,
        temperature=temperature,
        noise=noise,
    )
    score = Predictor(hidden=hidden, bias=bias)
    return Plan("transkimmer", (Step(DropTokens(), {"start": 0}, score, select),))
