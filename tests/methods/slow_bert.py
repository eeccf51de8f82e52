"""BERT's blocks with full matrices and masks, and the combining module from its equations.

Slow versions of methods are made of them.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from tersely.methods.focus import Combiner


def attend(block: nn.Module, hidden: Tensor, seen: Tensor, gate: Tensor | None = None):
    """States `(documents, tokens, width)` up to the feed-forward, and the attention's matrices.

    `seen` tells for `(documents, heads, queries, keys)` who sees whom, `gate` `(documents, keys)`
    are weights of keys.
    """
    inner, output = block.attention.self, block.attention.output
    query, key, value = (
        part(hidden).unflatten(2, (inner.num_attention_heads, -1)).transpose(1, 2)
        for part in (inner.query, inner.key, inner.value)
    )
    logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    logits = logits if gate is None else logits + gate.log()[:, None, None]
    # A query of the padding may see nothing.
    matrices = logits.masked_fill(~seen, torch.finfo(logits.dtype).min / 2).softmax(-1)
    context = (matrices @ value).transpose(1, 2).flatten(2)
    return output.LayerNorm(output.dense(context) + hidden), matrices


def transform(block: nn.Module, hidden: Tensor) -> Tensor:
    """States after the feed-forward."""
    inner = nn.functional.gelu(block.intermediate.dense(hidden))
    return block.output.LayerNorm(block.output.dense(inner) + hidden)


def classify(model: nn.Module, hidden: Tensor, weights: Tensor) -> Tensor:
    """Logits of the mean state of each document, with weights `(documents, tokens)` of tokens."""
    mean = (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
    return model.head.classifier(mean)


def combine_document(
    module: Combiner, embedded: Tensor, combination: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The new combination tokens `(m, width)` and the groups `(n,)`, one group after the other.

    Args:
        module: whose parameters are used, none of its methods.
        embedded: `(n, width)`.
        combination: `(m, width)`.
        noise: `(n, m)`, zero for inference.
    """
    query = module.query(module.combination_norm(combination))
    key = module.key(module.embedded_norm(embedded))
    value = module.value(embedded)
    logits = key @ query.T / embedded.shape[1] ** 0.5 + noise
    similarity = torch.softmax(logits / module.temperature, dim=1)
    groups = similarity.argmax(1)
    hard = one_hot(groups, len(combination)) + similarity - similarity.detach()
    combined = []
    for i, token in enumerate(combination):
        if bool((groups == i).any()):
            mean = (hard[:, i, None] * value).sum(0) / hard[:, i].sum()
            token = token + module.output(mean)
        combined.append(token)
    return torch.stack(combined), groups
