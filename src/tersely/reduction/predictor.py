"""A scorer that is learned: a small network on each token's state says how important it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from tersely.ragged import Ragged
from tersely.reduction.learned import Learned
from tersely.reduction.parts import check, check_number, register
from tersely.reduction.scorers import Scorer, to_mean_one
from tersely.reduction.stream import Observed

__all__ = ["Predictor", "PredictorNetwork"]

OUTPUTS = ("share", "probability")


class PredictorNetwork(Learned):
    """Norm, linear layer, norm, GELU, linear layer: states `(tokens, width)` to `(tokens, 1)`.

    Args:
        width: size of the states.
        hidden: size in the middle.
        bias: what the output starts from; None for an output without a bias.
    """

    # New weights beside trained ones, in few steps.
    learning_rate: ClassVar[float] = 1e-3

    def __init__(self, width: int, hidden: int, bias: float | None) -> None:
        super().__init__()
        self.first = bias
        self.input_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.inner_norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, 1, bias=bias is not None)
        self.start()

    def start(self) -> None:
        """Small random weights, and the first output for every token."""
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


@register
@dataclass(frozen=True)
class Predictor(Scorer):
    """Transkimmer (arXiv 2205.07324) and AdapLeR (arXiv 2203.08991): predicted importance.

    Both predict in front of a block; ours sees the states after its attention, where all methods
    here choose tokens. Both papers' inner layers are options: Transkimmer's is as wide as the
    states and takes 8 % of a block's MACs, AdapLeR's has the 32 of the default and takes
    some thousandths.

    Attributes:
        hidden: size of the inner layer.
        output: `"share"`, a softmax over the document's tokens, scaled to mean 1 (AdapLeR), or
            `"probability"`, the probability that a token stays (Transkimmer).
        bias: logit of that probability before anything is learned. The paper's 5 takes many steps
            to come down.
        saliency: weight in the loss of how far the shares are from the saliency of the dense model,
            the γ of AdapLeR; 0 to learn from the loss alone. Falls linearly over the blocks.
        trained: whether it has learned already, so that a selector need not teach it.
    """

    kind: ClassVar[str] = "predictor"
    learns: ClassVar[bool] = True

    hidden: int = 32
    output: str = "share"
    bias: float = 2.0
    saliency: float = 0.0
    trained: bool = False

    def __post_init__(self) -> None:
        hidden = self.hidden
        whole = isinstance(hidden, int) and not isinstance(hidden, bool) and hidden > 0
        check(whole, "hidden", "a whole number above 0", hidden)
        check(self.output in OUTPUTS, "output", "'share' or 'probability'", self.output)
        check_number("bias", self.bias, -20, 20)
        check_number("saliency", self.saliency, 0, 1000)
        check(isinstance(self.trained, bool), "trained", "true or false", self.trained)
        shares = self.output == "share" or not self.saliency
        check(shares, "saliency", "0 for output 'probability'", self.saliency)

    @property
    def is_scaled(self) -> bool:
        """Whether scores have mean 1 in each document."""
        return self.output == "share"

    @property
    def needs_teaching(self) -> bool:
        """Whether it learns from nothing but a selector's masks."""
        return not self.trained and not self.saliency

    def at_block(self, number: int, count: int) -> Predictor:
        """The same with the block's weight of the saliency."""
        return replace(self, saliency=self.saliency * (count + 1 - number) / count)

    def module(self, width: int, heads: int) -> PredictorNetwork:
        """The network of one block."""
        return PredictorNetwork(width, self.hidden, None if self.is_scaled else self.bias)

    def frozen(self, modules: Sequence[Learned | None]) -> Predictor:
        """The same, marked as trained; the networks stay."""
        return replace(self, trained=True, saliency=0.0)

    def score(self, seen: Observed) -> Tensor:
        """Shares with mean 1 in each document, or probabilities, `(tokens, 1)`."""
        stream = seen.stream
        logits = seen.module(stream.hidden).float()
        if not self.is_scaled:
            return torch.sigmoid(logits)
        own = stream.embedded[:, None]
        if stream.key_mask is not None:
            own = own & stream.key_mask.view(len(own), -1).any(1, keepdim=True)
        logits = logits.masked_fill(~own, -torch.inf)
        peaks = Ragged(logits.detach(), stream.layout).max()
        return to_mean_one((logits - peaks[stream.layout.segment_ids]).exp(), stream.layout, own)

    def lesson(self, seen: Observed, importance: Tensor) -> Tensor | None:
        """How far the shares are from the saliency of the tokens that are left, a scalar."""
        if not self.saliency or seen.stream.saliency is None:
            return None
        wanted = Ragged(seen.stream.saliency[:, None].float(), seen.stream.layout)
        segment_ids, tiny = wanted.layout.segment_ids, torch.finfo(torch.float32).tiny
        shares = importance / Ragged(importance, wanted.layout).sum().clamp(min=tiny)[segment_ids]
        wanted = wanted.with_values(wanted.values / wanted.sum().clamp(min=tiny)[segment_ids])
        logs = wanted.values.clamp(min=tiny).log() - shares.clamp(min=tiny).log()
        return self.saliency * wanted.with_values(wanted.values * logs).sum().mean()

    def cost_of_token(self, width: int) -> int:
        """MACs of the network for each token."""
        return (width + 1) * self.hidden
