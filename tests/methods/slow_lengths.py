"""BERT that loses tokens at every block as Length-Adaptive Transformer tells it, one document a
time: full attention matrices, and lists of the words that are left."""

from __future__ import annotations

import math

import torch
from slow_model import attend
from torch import Tensor, nn


@torch.no_grad()
def slow_lengths(model: nn.Module, document: Tensor, keep: float) -> tuple[Tensor, list[list[int]]]:
    """Logits `(labels,)` of a document `(tokens,)`, and the places that each block leaves."""
    encoder = model.encoder
    hidden = encoder.embeddings(input_ids=document[None])[0]
    places, left = list(range(len(document))), []
    for block in encoder.encoder.layer:
        heads = encoder.config.num_attention_heads
        everything = torch.ones(heads, len(hidden), dtype=torch.bool).numpy()
        hidden, attention = attend(block, hidden, everything)
        # Sig(i) = Σ_h Σ_j A^h_ji, and [CLS] stays.
        significance = attention.sum(axis=(0, 1))
        wanted = math.ceil(round(keep * len(places), 9))
        others = sorted(range(1, len(places)), key=lambda i: -significance[i])
        chosen = sorted([0, *others[: wanted - 1]])
        hidden, places = hidden[chosen], [places[i] for i in chosen]
        left.append(places)
        inner = nn.functional.gelu(block.intermediate.dense(hidden))
        hidden = block.output.LayerNorm(block.output.dense(inner) + hidden)
    return model.head.classifier(hidden.mean(0)), left
