"""BERT's blocks with full matrices and masks, the combining module, and both as the paper tells it.

Slow versions of other methods are made of them too. Nothing is ever removed from a tensor, and only
the weights are taken from the model under test.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from method_table import combiner_of
from slow_selection import Document, slow_losers
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


# ---- pruned keys and combined tokens, one document after the other -----------------------------


@dataclass
class Settings:
    """What the paper calls p, the block that combines, and the choices that it leaves open."""

    keep: float
    rule: str = "block"  # of `slow_selection`
    per_head: bool = True
    pin: str = "ends"
    combining: int | None = None
    rows_of_combination_tokens: bool = True


@dataclass
class Seen:
    """What happened to a document: its groups, and each block's key mask `(heads, tokens)`."""

    key_masks: list[np.ndarray] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)


@torch.no_grad()
def slow_logits(model: nn.Module, document: Tensor, settings: Settings) -> tuple[Tensor, Seen]:
    """Logits `(labels,)` of one document `(tokens,)`, and what happened to it."""
    encoder, seen = model.encoder, Seen()
    hidden = encoder.embeddings(input_ids=document[None])[0]
    words = len(document)
    if settings.combining is not None:
        hidden = torch.cat([hidden, combiner_of(model).tokens])
    heads = encoder.config.num_attention_heads
    keys = np.ones((heads, len(hidden)), dtype=bool)
    for number in range(encoder.config.num_hidden_layers):
        if number == settings.combining:
            tokens, own = hidden[words:], hidden[:words]
            noise = torch.zeros(words, len(tokens))
            hidden, groups = combine_document(combiner_of(model), own, tokens, noise)
            seen.groups = groups.tolist()
            keys = np.ones((heads, len(hidden)), dtype=bool)
            words = 0
            continue
        block = encoder.encoder.layer[number]
        seen.key_masks.append(keys)
        attended, matrices = attend(block, hidden[None], torch.from_numpy(keys)[None, :, None])
        if words:
            keys = prune(matrices[0].double().numpy(), keys, words, settings)
        hidden = transform(block, attended)[0]
    return model.head.classifier(hidden.mean(0)), seen


def prune(attention: np.ndarray, keys: np.ndarray, words: int, settings: Settings) -> np.ndarray:
    """The key masks of the next block; combination tokens are exempt."""
    rows = None if settings.rows_of_combination_tokens else words
    # S_j: the mean over the rows, (heads, words)
    importance, own = attention[:, :rows, :words].mean(axis=1), keys[:, :words]
    if not settings.per_head:
        importance, own = importance.mean(axis=0, keepdims=True), own[:1]
    pinned = {"ends": {0, words - 1}, "first": {0}, "none": set()}[settings.pin]
    case = Document(
        importance.T.tolist(), own.T.tolist(), [place in pinned for place in range(words)]
    )
    left = keys.copy()
    left[:, :words] &= ~np.array(slow_losers(case, settings.rule, settings.keep)).T
    return left


@torch.no_grad()
def slow_lengths(model: nn.Module, document: Tensor, keep: float) -> tuple[Tensor, list[list[int]]]:
    """Length-Adaptive Transformer: logits of a document, and the places that each block leaves."""
    hidden = model.encoder.embeddings(input_ids=document[None])
    places, left = list(range(len(document))), []
    for block in model.encoder.encoder.layer:
        hidden, matrices = attend(block, hidden, torch.tensor(True))
        # Sig(i) = Σ_h Σ_j A^h_ji, and [CLS] stays.
        significance = matrices[0].sum((0, 1))
        wanted = math.ceil(round(keep * len(places), 9))
        others = sorted(range(1, len(places)), key=lambda i: -significance[i])
        chosen = sorted([0, *others[: wanted - 1]])
        hidden, places = transform(block, hidden[:, chosen]), [places[i] for i in chosen]
        left.append(places)
    return model.head.classifier(hidden[0].mean(0)), left
