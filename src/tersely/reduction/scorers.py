"""Scorers: how important is each token? All scores have mean 1 over a document's keys.

The scaling makes a threshold mean the same at 50 and at 5,000 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tersely.attention import ScoreRequest
from tersely.ragged import Layout, Ragged
from tersely.reduction.parts import Learned, Part, flag, one_of, register
from tersely.reduction.stream import Observed, Stream


@dataclass(frozen=True)
class Scorer(Part):
    """Scores the tokens of a block.

    One that `needs_linear` asks the linear stage beside the encoder about the pieces of the text,
    which it finds as the column `"input_ids"`: before the first block alone.
    """

    role: ClassVar[str] = "score"
    attention: ClassVar[str | None] = None  # what the block's attention should return for it
    per_head: ClassVar[bool] = False  # whether each head has a score of its own
    is_scaled: ClassVar[bool] = True  # whether scores have mean 1 in each document
    needs_teaching: ClassVar[bool] = False  # it learns from nothing but a selector's masks
    needs_linear: ClassVar[bool] = False

    @property
    def needs_block(self) -> bool:
        """Whether it looks at what a block's attention did, and so has no place outside of one."""
        return self.attention is not None

    def request(self, stream: Stream) -> ScoreRequest | None:
        """Return what it asks the attention of a block for; None for nothing."""
        return None

    def score(self, seen: Observed) -> Tensor:
        """Return each token's importance, `(tokens, heads or 1)`, of mean 1 in each document."""
        raise TypeError(f"{type(self).__name__} must define score")

    def units(self, seen: Observed) -> Tensor | None:
        """Return the number of what each token stays or goes with, `(tokens,)`; None for itself."""
        return None

    def auxiliary_loss(self, seen: Observed, importance: Tensor) -> Tensor | None:
        """Return what is added to the loss in training for the scores it gave; None for nothing."""
        return None

    def cost_of_token(self, width: int) -> int:
        """Return the MACs for each token of its own matrix products, beside the attention's."""
        return 0


@register("column-mean")
class ColumnMean(Scorer):
    """Focus on the Core (arXiv 2406.01283) and Learned Token Pruning (arXiv 2107.00910).

    The mean attention that a key receives from all queries; ours has mean 1 over the document's
    keys, which leaves the order as it is.

    Attributes:
        heads: `"each"` for one score a head, so that each head may keep other tokens, or `"mean"`
            for their mean, shared by all.
        count_combination_tokens: whether the queries of combination tokens count.
        values: multiply what a head pays by the norm of the key's value in it, as in ATS
            (arXiv 2111.15667).
        gradients: let gradients flow through the scores, for a selector that learns.
        diagonal: whether what a token pays to itself counts; PoWER-BERT (arXiv 2001.08950) leaves
            it out. Without it, keys cannot have been dropped before.
    """

    attention = "column"

    heads: str = one_of("each", "mean", default="mean")
    count_combination_tokens: bool = flag(True)
    values: bool = flag(False)
    gradients: bool = flag(False)
    diagonal: bool = flag(True)

    @property
    def per_head(self) -> bool:
        return self.heads == "each"

    def request(self, stream: Stream) -> ScoreRequest:
        counted = None if self.count_combination_tokens else stream.embedded
        options = (self.diagonal, self.values, self.gradients)
        return ScoreRequest(self.attention, self.per_head, counted, *options)

    def frozen(self, modules: Sequence[Learned]) -> Scorer:
        return replace(self, gradients=False)

    def score(self, seen: Observed) -> Tensor:
        if self.diagonal and not self.values:  # it sums to 1 already, and so has mean 1
            return seen.attention
        return to_mean_one(seen.attention, seen.stream.layout, seen.stream.key_mask)


def to_mean_one(scores: Tensor, layout: Layout, keys: Tensor | None = None) -> Tensor:
    """Scale scores of 0 or more, `(tokens, columns)`, to mean 1 over each document.

    Where all of a document's scores are 0, they stay so. The mean is over `keys`, `(tokens,)` or
    `(tokens, heads)` bool (of the head that has most of them), None for all; others have score 0.
    """
    counts = layout.lengths
    if keys is not None:
        counts = layout.count(keys.view(keys.shape[0], -1)).amax(1)
    counts, sums = counts[:, None], Ragged(scores, layout).sum()
    # Below the smallest normal number a mean counts as 0: one over it is no longer finite.
    told_apart = sums > counts * torch.finfo(scores.dtype).tiny
    factors = counts / torch.where(told_apart, sums, 1)
    return scores * torch.where(told_apart, factors, 0)[layout.segment_ids]


def saliency(model: Any, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Return the length of gradient times input of each token at the embedding, `(tokens,)` ≥ 0.

    The gradient is that of the label's logit in a dense model in evaluation mode: of the sum of
    those that hold, where `labels` are `(documents, labels)` multi-hot, and of the only one in a
    regression. `inputs` are a packed batch.
    """
    with torch.enable_grad():
        layout = Layout(inputs["cu_seq_lens_q"], inputs.get("lengths"))
        types = inputs.get("token_type_ids") if model.backbone.has_segments else None
        row = (inputs["input_ids"][0], layout.positions, None if types is None else types[0])
        embedded = model.backbone.embed(*row).detach().requires_grad_()
        logits = model(**inputs, embedded=embedded).logits
        if logits.shape[1] > 1:
            many = labels.dim() == 2
            logits = logits * labels if many else logits.gather(1, labels.long()[:, None])
        gradient = torch.autograd.grad(logits.sum(), embedded)[0]
    return (gradient * embedded.detach()).float().norm(dim=1)


def divergence(wanted: Tensor, found: Tensor, layout: Layout) -> Tensor:
    """Return how far shares of a document are from those wanted, in the mean, a scalar.

    The Kullback-Leibler divergence; both are `(tokens,)` of any sums, 0 or more.
    """
    tiny, rows = torch.finfo(torch.float32).tiny, layout.segment_ids
    both = Ragged(torch.stack([wanted.float(), found], dim=1), layout)
    aims, shares = (both.values / both.sum().clamp(min=tiny)[rows]).unbind(1)
    logs = aims.clamp(min=tiny).log() - shares.clamp(min=tiny).log()
    return Ragged((aims * logs)[:, None], layout).sum().mean()


def scorer_of(kind: str) -> Scorer:
    """Return a scorer by its kind; "column-mean-values" and the like weight by the value's norm."""
    name, weighted, rest = kind.partition("-values")
    data = {"kind": name} | ({"values": True} if weighted and not rest else {})
    return Scorer.from_dict(data, "score")
