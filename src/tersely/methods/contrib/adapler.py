"""AdapLeR (A. Modarressi et al., ACL 2022, arXiv 2203.08991): small networks predict saliency.

Before the method is switched on, the networks learn what the gradients of the dense model find
important, and nothing else learns anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tersely.methods.contrib.transkimmer import Predictor, PredictorNetwork
from tersely.methods.input_selection import saliency_stage
from tersely.methods.ltp import LearnedThreshold
from tersely.reduction import DropTokens, Observed, Plan, Stage, Step, register_preset
from tersely.reduction.parts import Budget, Range, number, register
from tersely.reduction.scorers import divergence, to_mean_one
from tersely.reduction.selectors import LEAST


@register("saliency-predictor")
class SaliencyPredictor(Predictor):
    """AdapLeR (arXiv 2203.08991): predicted shares of a document's saliency, scaled to mean 1.

    Attributes:
        saliency: weight in the loss of how far the shares are from the saliency of the dense model,
            the γ of the paper; 0 to learn from the loss alone. Falls linearly over the blocks.
    """

    is_scaled = True

    saliency: float = number(0.1, 0, 1000)

    @property
    def needs_teaching(self) -> bool:
        """Whether it learns from nothing but a selector's masks."""
        return not self.trained and not self.saliency

    def at_block(self, number: int, count: int) -> SaliencyPredictor:
        """Return the same with the block's weight of the saliency."""
        return replace(self, saliency=self.saliency * (count + 1 - number) / count)

    def module(self, width: int, heads: int) -> PredictorNetwork:
        """Return the network of one block."""
        return PredictorNetwork(width, self.hidden, None)

    def stages(self, plan: Plan) -> tuple[Stage, ...]:
        """Return the stage that learns from the dense model: it predicts, and drops nothing."""
        return (saliency_stage(plan, SaliencyPredictor),) if self.saliency else ()

    def frozen(self, modules: Any) -> SaliencyPredictor:
        """Return the same, marked as trained; the networks stay."""
        return replace(self, trained=True, saliency=0.0)

    def score(self, seen: Observed) -> Tensor:
        """Return shares with mean 1 in each document, `(tokens, 1)`."""
        stream = seen.stream
        logits = seen.module(stream.hidden).float()
        own = stream.embedded[:, None]
        if stream.key_mask is not None:
            own = own & stream.key_mask.view(len(own), -1).any(1, keepdim=True)
        logits = logits.masked_fill(~own, -torch.inf)
        segments = stream.layout.segment_ids
        lowest = logits.new_full((len(stream.layout), 1), -torch.inf)
        peaks = lowest.scatter_reduce(0, segments[:, None], logits.detach(), "amax")
        return to_mean_one((logits - peaks[segments]).exp(), stream.layout, own)

    def auxiliary_loss(self, seen: Observed, importance: Tensor) -> Tensor | None:
        """Return how far the shares are from the saliency of the tokens that are left, a scalar."""
        targets = seen.stream.columns.get("targets")
        if not self.saliency or targets is None:
            return None
        return self.saliency * divergence(targets, importance[:, 0], seen.stream.layout)


@register_preset(
    "adapler",
    budget=Budget("target", Range(0.0, 1.0)),
    examples={"": {"threshold": 0.999, "least": 1}},
    nothing={"threshold": 0.0},
)
def adapler(
    target: float = 0.5,
    strength: float = 10.0,
    hidden: int = 32,
    saliency: float = 0.1,
    threshold: float = 0.5,
    temperature: float = 0.1,
    pin: str = "first",
    least: int = LEAST,
) -> Plan:
    """Predict what the dense model's gradients find important (AdapLeR, arXiv 2203.08991)."""
    select = LearnedThreshold(
        pin=pin,
        least=least,
        target=target,
        strength=strength,
        threshold=threshold,
        temperature=temperature,
    )
    score = SaliencyPredictor(hidden=hidden, saliency=saliency)
    return Plan("adapler", (Step(DropTokens(), {"start": 0}, score, select),))
