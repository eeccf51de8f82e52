"""BERT with pruned keys and combined tokens, as the paper tells it: full matrices and key masks.

One document after the other; nothing is ever removed from a tensor. Only the weights are taken from
the model under test.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from slow_bert import attend, combine_document, transform
from torch import Tensor, nn

from method_table import combiner_of
from slow_selection import Document, slow_losers


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
