"""How much each token matters to a model: gradient times input, at the embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["saliency"]


def saliency(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """The length of gradient times input of each token, as AdapLeR (arXiv 2203.08991) takes it.

    Args:
        model: a dense model in evaluation mode.
        inputs: a packed batch.
        labels: `(documents,)` class numbers or floats, or `(documents, labels)` multi-hot. The
            gradient is that of the label's logit: of the sum of those that hold, where several may,
            and of the only one in a regression.

    Returns:
        `(tokens,)`, float32, 0 or more.
    """
    kept: list[Tensor] = []
    original = model.backbone.embed

    def embed(*args: Tensor | None) -> Tensor:
        kept.append(original(*args).detach().requires_grad_())
        return kept[0]

    model.backbone.embed = embed
    try:
        with torch.enable_grad():
            logits = model(**inputs).logits
            gradient = torch.autograd.grad(_of_labels(logits, labels).sum(), kept[0])[0]
    finally:
        del model.backbone.embed
    return (gradient * kept[0].detach()).float().norm(dim=1)


def _of_labels(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return logits
    if labels.dim() == 2:
        return logits * labels
    return logits.gather(1, labels.long()[:, None])
