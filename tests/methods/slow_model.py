"""BERT with pruned keys and combined tokens, as the paper tells it: full matrices and key masks.

One document after the other, one head after the other; nothing is ever removed from a tensor. Only
the weights are taken from the model under test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from method_table import combiner_of


@dataclass
class Settings:
    """What the paper calls p, the block that combines, and the choices that it leaves open."""

    keep: float
    fuzzy: bool = True
    reading: str = "block"
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
            hidden = combine(combiner_of(model), hidden[:words], hidden[words:], seen)
            keys = np.ones((heads, len(hidden)), dtype=bool)
            words = 0
            continue
        block = encoder.encoder.layer[number]
        seen.key_masks.append(keys)
        hidden, attention = attend(block, hidden, keys)
        if words:
            keys = prune(attention, keys, words, settings)
        inner = nn.functional.gelu(block.intermediate.dense(hidden))
        hidden = block.output.LayerNorm(block.output.dense(inner) + hidden)
    return model.head.classifier(hidden.mean(0)), seen


def attend(block: nn.Module, hidden: Tensor, keys: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The block up to its feed-forward, and its attention matrices `(heads, tokens, tokens)`."""
    inner = block.attention.self
    size = hidden.shape[1] // len(keys)
    contexts, matrices = [], []
    for head, mask in enumerate(keys):
        part = slice(head * size, (head + 1) * size)
        query = inner.query(hidden)[:, part]
        key, value = inner.key(hidden)[:, part], inner.value(hidden)[:, part]
        logits = query @ key.T / math.sqrt(size)
        logits[:, torch.from_numpy(~mask)] = -math.inf
        matrices.append(logits.softmax(1))
        contexts.append(matrices[-1] @ value)
    output = block.attention.output
    attended = output.LayerNorm(output.dense(torch.cat(contexts, dim=1)) + hidden)
    return attended, torch.stack(matrices).double().numpy()


def prune(attention: np.ndarray, keys: np.ndarray, words: int, settings: Settings) -> np.ndarray:
    """The key masks of the next block."""
    rows = None if settings.rows_of_combination_tokens else words
    importance = attention[:, :rows].mean(axis=1)  # S_j: the mean over the rows, (heads, tokens)
    own = keys.copy()
    own[:, words:] = False
    if not settings.per_head:
        importance, own = importance.mean(axis=0, keepdims=True), own[:1]
    left = own.copy()
    prunable = own.copy()
    if settings.fuzzy:
        a, b = np.quantile(importance[own], [0.25, 0.75])
        spread = b - a if b > a else np.finfo(float).tiny
        membership = np.clip((importance - a) / spread, 0, 1)
        safe = (membership >= 0.01) & ~(1 - membership >= 0.9)
        prunable = own & ~safe
    for head in range(len(own)):
        alive, complement = int(own[head].sum()), int(prunable[head].sum())
        count = alive - max(1, math.floor(settings.keep * alive + 1e-9))
        if settings.fuzzy and settings.reading == "complement":
            count = complement - math.floor(settings.keep * complement + 1e-9)
        pinned = {"ends": {0, words - 1}, "first": {0}, "none": set()}[settings.pin]
        ranked = sorted(
            (j for j in range(words) if prunable[head, j] and j not in pinned),
            key=lambda j: (importance[head, j], -j),
        )
        left[head, ranked[:count]] = False
    if not settings.per_head:
        left = np.repeat(left, len(keys), axis=0)
    left[:, words:] = True  # combination tokens are exempt
    return left


def combine(combiner: nn.Module, words: Tensor, tokens: Tensor, seen: Seen) -> Tensor:
    """The combination tokens, each with the words that are most similar to it taken in."""
    query = combiner.query(combiner.combination_norm(tokens))
    key = combiner.key(combiner.embedded_norm(words))
    similarity = (query @ key.T / math.sqrt(words.shape[1])).softmax(0)  # over the tokens
    seen.groups = similarity.argmax(0).tolist()
    combined = []
    for i, token in enumerate(tokens):
        group = [j for j, chosen in enumerate(seen.groups) if chosen == i]
        if group:
            token = token + combiner.output(combiner.value(words[group]).mean(0))
        combined.append(token)
    return torch.stack(combined)
