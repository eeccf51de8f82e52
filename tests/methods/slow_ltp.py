"""Learned Token Pruning as its paper tells it, on padded tensors of BERT: nothing is removed.

Scores are `s_i = 1/(H·n) Σ_h Σ_j A_ji` over the queries j that are alive, in a document of n
tokens. A soft mask is `σ((s_i − θ)/T)`, times the block's output; a hard one takes the tokens below
the threshold out of the keys of all following blocks and out of the classifier's mean. Thresholds
and temperatures are on the scale of `s`, divided by a length of the caller's choosing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def slow_ltp(
    model: nn.Module,
    batch: dict[str, Tensor],
    thresholds: list[Tensor],
    *,
    stage: str,
    temperature: float = 1.0,
    padded: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits, each block's mask, and who is alive after it, `(documents, length)`.

    Args:
        model: where the weights come from.
        batch: padded inputs.
        thresholds: of each block in mean scores.
        stage: `"soft"`, `"hard"`, or `"straight"` for hard with the gradients of soft masks.
        temperature: in mean scores.
        padded: divide by the padded length, as the released code does, and not by the document's.
    """
    real = batch["attention_mask"].bool()
    hidden = model.encoder.embeddings(input_ids=batch["input_ids"])
    lengths = real.sum(1, keepdim=True).float()
    size = torch.full_like(lengths, real.shape[1]) if padded else lengths
    alive, gate = real, torch.ones(real.shape)
    masks, history = [], []
    for block, threshold in zip(model.encoder.encoder.layer, thresholds, strict=True):
        hidden, matrices = attend(block, hidden, alive, gate)
        paid = (matrices * alive[:, None, :, None]).mean(1).sum(1) / size  # (documents, keys)
        paid = paid.detach() if stage == "straight" else paid
        over = (paid - threshold / size) / (temperature / size)
        mask = torch.sigmoid(over)
        first = torch.zeros_like(alive)
        first[:, 0] = True
        mask = torch.where(first, 1.0, mask)
        inner = nn.functional.gelu(block.intermediate.dense(hidden))
        hidden = block.output.LayerNorm(block.output.dense(inner) + hidden)
        masks.append(mask)
        if stage == "soft":
            hidden = hidden * mask[..., None]
        else:
            alive = alive & ((paid >= threshold / size) | first)
            if stage == "straight":
                gate = gate * (1 + mask - mask.detach())
        history.append(alive)
    weights = gate * alive
    mean = (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
    return model.head.classifier(mean), masks, history


def attend(block: nn.Module, hidden: Tensor, keys: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """The block up to its feed-forward, and its matrices `(documents, heads, queries, keys)`."""
    inner = block.attention.self
    heads = inner.num_attention_heads

    def split(states: Tensor) -> Tensor:
        return states.unflatten(2, (heads, -1)).transpose(1, 2)

    query, key, value = (split(part(hidden)) for part in (inner.query, inner.key, inner.value))
    logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    logits = (logits + gate.log()[:, None, None]).masked_fill(~keys[:, None, None], -math.inf)
    matrices = logits.softmax(-1)
    context = (matrices @ value).transpose(1, 2).flatten(2)
    output = block.attention.output
    return output.LayerNorm(output.dense(context) + hidden), matrices
