"""Token dropping (L. Hou et al., ACL 2022, arXiv 2203.13240): in training, tokens miss blocks.

A model in use is dense; what is saved is time to train. The paper keeps a running mean of the
masked language model's loss for each entry of the vocabulary. A classifier has no loss a token, so
ours is of the length of the loss's gradient at the token's embedding: how much the document's loss
hangs on it. It comes with the backward pass, needs no attention matrix, and is scaled to mean 1 in
each document, so that neither a hard document nor an early step counts more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from tersely.ragged import Layout
from tersely.reduction.actions import Action
from tersely.reduction.parts import Learned, number, register
from tersely.reduction.plan import Plan
from tersely.reduction.presets import register_preset
from tersely.reduction.scorers import Scorer, scorer_of, to_mean_one
from tersely.reduction.selectors import LEAST, Ratio
from tersely.reduction.step import Step
from tersely.reduction.stream import Observed, Stream

_COLUMN = "word-importance"


@register
@dataclass(frozen=True)
class SetAside(Action):
    """Token dropping (arXiv 2203.13240): the losers miss the step's blocks, in training only.

    They leave before the first of the blocks and come back, as they were, after the last one.
    """

    kind: ClassVar[str] = "set-aside"
    acts: ClassVar[str] = "training"

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor | None) -> Stream:
        """Return the stream with the losers, `(tokens, 1)` bool, put aside as they are."""
        goes = losers[:, 0]
        return replace(stream.select(~goes), aside=stream.select(goes))

    def undo(self, stream: Stream) -> Stream:
        """Return the stream with those put aside, each at its place in its document."""
        parts = (stream, stream.aside)
        segments = torch.cat([part.layout.segment_ids for part in parts])
        origins = torch.cat([part.origins for part in parts])
        order = (segments * (stream.lengths.max() + 1) + origins).argsort()
        return replace(
            stream,
            hidden=torch.cat([part.hidden for part in parts])[order],
            layout=Layout.from_lengths(stream.layout.lengths + stream.aside.layout.lengths),
            origins=origins[order],
            columns={},
            aside=None,
        )


@register
@dataclass(frozen=True)
class ByWord(Scorer):
    """Token dropping (arXiv 2203.13240): the running importance of the token's word in training.

    As in the paper, a little noise decides between equals: words that were never seen, and several
    of one word.

    Attributes:
        noise: up to which share of the importance it adds.
    """

    kind: ClassVar[str] = "by-word"
    training_only: ClassVar[bool] = True

    noise: float = number(0.01, 0, 1)

    def shared_module(self, vocabulary: int) -> WordImportance:
        """Return the importance of each word."""
        return WordImportance(vocabulary)

    def score(self, seen: Observed) -> Tensor:
        """Return the importance of each token, `(tokens, 1)`, with mean 1 in each document."""
        words = seen.stream.columns[_COLUMN]
        noisy = words * (1 + self.noise * torch.rand_like(words))
        return to_mean_one(noisy[:, None], seen.stream.layout)


class WordImportance(Learned):
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

    def start(self) -> None:
        """Start with all words alike."""
        self.importance.fill_(1.0)

    def forward(self, ids: Tensor, layout: Layout, embedded: Tensor) -> dict[str, Tensor]:
        """Return the importance of each token, and learn from this batch when its gradient comes.

        Args:
            ids: `(tokens,)`.
            layout: the documents' boundaries.
            embedded: what the embedding made of them, `(tokens, hidden)`.

        Returns:
            A column of the stream, `(tokens,)`, without gradient.
        """
        if embedded.requires_grad:
            embedded.register_hook(lambda gradient: self._learn(ids, layout, gradient))
        return {_COLUMN: self.importance[ids]}

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


@register_preset("token-drop", examples={"": {"least": 1}})
def token_drop(
    keep: float = 0.5,
    start: int | float = 7 / 12,
    stop: int | float = -1,
    score: str = "by-word",
    pin: str = "ends",
    least: int = LEAST,
) -> Plan:
    """Let half of the tokens miss the later blocks, in training only (arXiv 2203.13240).

    They come back before the block `stop`, the last one; the trained model is dense.
    """
    step = Step(
        SetAside(),
        {"start": start, "stop": stop},
        scorer_of(score),
        Ratio(keep=keep, pin=pin, least=least),
    )
    return Plan("token-drop", (step,))
