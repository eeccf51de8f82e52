"""Packed batches filled to a token budget, for training and for inference.

A budget in tokens keeps the work of a step and its memory constant where a number of documents
would not. Inside a batch the documents are sorted by length, because attention takes neighbours of
equal length in one call.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from tersely.text.encoding import EncodedDocuments


def fill_batches(sizes: Sequence[int] | np.ndarray, budget: int) -> list[list[int]]:
    """Fill batches to a token budget, the longest documents first.

    A document that is larger than the budget makes a batch of its own.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    batches: list[list[int]] = []
    room = 0
    for number in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[number])
        if not batches or size > room:
            batches.append([])
            room = budget
        batches[-1].append(number)
        room -= size
    return batches


class TokenBudgetSampler(Sampler[list[int]]):
    """Shuffled batches of similar lengths, filled to a token budget; another shuffle each epoch.

    Documents are shuffled, sorted by length within stretches of about eight batches, filled to the
    budget, and the batches are shuffled. All `epochs` have the same number of batches, as the
    Trainer expects; where one fills fewer, its largest batches are split.
    """

    def __init__(
        self, sizes: Sequence[int] | np.ndarray, budget: int, seed: int = 0, epochs: int = 1
    ) -> None:
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.budget, self.seed, self.epoch = budget, seed, 0
        self._count = max(len(self._filled(epoch)) for epoch in range(max(1, epochs)))

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._filled(self.epoch)
        while len(batches) < self._count:
            largest = max(range(len(batches)), key=lambda number: len(batches[number]))
            batch = batches[largest]
            if len(batch) < 2:
                break
            batches[largest : largest + 1] = [batch[::2], batch[1::2]]
        np.random.default_rng((self.seed, self.epoch, 1)).shuffle(batches)
        yield from batches

    def _filled(self, epoch: int) -> list[list[int]]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.sizes))
        stretches = (np.cumsum(self.sizes[order]) - 1) // (self.budget * 8)
        batches: list[list[int]] = []
        for part in np.split(order, np.flatnonzero(np.diff(stretches)) + 1):
            filled = fill_batches(self.sizes[part], self.budget)
            batches.extend(part[batch].tolist() for batch in filled)
        return batches


def pack(encoded: EncodedDocuments, documents: Sequence[int]) -> dict[str, Any]:
    """Lay documents end to end, in the order that the logits should have, as the model's inputs.

    They are `input_ids` `(1, tokens)`, `cu_seq_lens_q` `(windows + 1,)` and the same as a list of
    `lengths`, which no device needs to be asked for; `token_type_ids` for pairs, and the list
    `document_windows` where a document has more than one window.
    """
    chosen = encoded.select(list(documents))
    lengths = np.array([len(window) for window in chosen.windows], dtype=np.int64)
    inputs: dict[str, Any] = {
        "input_ids": _row(chosen.windows),
        "cu_seq_lens_q": torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        "lengths": lengths.tolist(),
    }
    if chosen.types is not None:
        inputs["token_type_ids"] = _row(chosen.types)
    if (chosen.counts > 1).any():
        inputs["document_windows"] = chosen.counts.tolist()
    return inputs


def _row(windows: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(windows).astype(np.int64))[None]
