"""How important each word of the vocabulary has been in training so far: a running mean.

Token dropping (Hou et al., ACL 2022, arXiv 2203.13240) keeps a running mean of the masked language
model's loss for each entry of the vocabulary. A classifier has no loss a token, so ours is of the
length of the loss's gradient at the token's embedding: how much the document's loss hangs on it. It
comes with the backward pass, needs no attention matrix, and is scaled to mean 1 in each document,
so that neither a hard document nor an early step counts more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tersely.ragged import Layout
from tersely.reduction.scorers import to_mean_one

__all__ = ["WordImportance"]


class WordImportance(nn.Module):
    """The running importance of each word; 1 for those that were never seen.

    It is saved with the model, since a run that is resumed goes on with it.

    Args:
        words: size of the vocabulary.
        momentum: share of the old value when a batch has the word.
    """

    def __init__(self, words: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("importance", torch.ones(words))

    def forward(self, ids: Tensor, layout: Layout, embedded: Tensor) -> Tensor:
        """The importance of each token, and learn from this batch when its gradient comes.

        Args:
            ids: `(tokens,)`.
            layout: the documents' boundaries.
            embedded: what the embedding made of them, `(tokens, hidden)`.

        Returns:
            `(tokens,)`, without gradient.
        """
        if embedded.requires_grad:
            embedded.register_hook(lambda gradient: self._learn(ids, layout, gradient))
        return self.importance[ids]

    @torch.no_grad()
    def _learn(self, ids: Tensor, layout: Layout, gradient: Tensor) -> None:
        norms = gradient.float().norm(dim=1, keepdim=True)
        if not torch.isfinite(norms).all():
            return  # the trainer stops at such a loss
        scaled = to_mean_one(norms, layout)[:, 0].to(self.importance.dtype)
        words = len(self.importance)
        counts = torch.bincount(ids, minlength=words)
        sums = torch.zeros_like(self.importance).index_add_(0, ids, scaled)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), self.importance)
        self.importance.lerp_(means, 1 - self.momentum)
