"""What a linear model sees of a packed row: pieces, and neighbouring pieces hashed into buckets.

A bucket has one owner: the pair of pieces that most fitting documents hold among those that are
hashed to it, known by a fingerprint of 15 bits. Other pairs are no feature, instead of adding to
the weight of a stranger, and what `explain` says of a pair is said of that pair.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tersely.errors import DataError
from tersely.ragged import Layout

NOBODY = -1  # the fingerprint of a bucket that has no owner
_ODD = -0x61C8864680B583EB  # 2^64 over the golden ratio, as a signed integer (Fibonacci hashing)


class Counts(NamedTuple):
    """How often documents hold their features, ascending: a sparse matrix, `(entries,)` int64."""

    features: Tensor
    counts: Tensor
    layout: Layout


class PieceFeatures:
    """The features of packed rows: `vocabulary` pieces, and behind them the buckets of pairs.

    No pair reaches across a special piece, which itself is a feature whose IDF is 0: leaving it out
    would take longer. Two texts of a pair are read as one document with a [SEP] in it, so that no
    pair of pieces joins them; features that compare the two would be a guess, as long as no data
    set of pairs is there to measure them on.

    `special` is `(vocabulary,)` bool; `owners` are fingerprints `(buckets,)` int16, or `NOBODY`.
    """

    def __init__(self, special: Tensor, owners: Tensor) -> None:
        self.special, self.owners = special, owners
        self.size = special.numel() + owners.numel()

    def occurrences(self, input_ids: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Find the features of a row: ids `(tokens,)` and the documents in it.

        There is a key `(n,)` int64 for each place of a feature, first those of the `tokens` single
        pieces: the document's number times `size`, plus the feature's. Pairs begin at the second
        result, `(n - tokens,)`, ascending.
        """
        ids = _checked(input_ids, layout, self.special.numel())
        segments = layout.segment_ids
        keys = segments * self.size + ids
        if not self.owners.numel():
            return keys, segments[:0]
        features, owned = self.pairs(ids, segments)
        lefts = owned.nonzero()[:, 0]
        pairs = _at(features, lefts).add_(_at(segments, lefts), alpha=self.size)
        return torch.cat([keys, pairs]), lefts

    def pairs(self, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of neighbours, `(tokens - 1,)`, and which own their bucket, bool."""
        buckets, fingerprints = bucket(pair_numbers(ids, self.special), self.owners.numel())
        owned = _at(self.owners, buckets) == fingerprints
        owned &= _neighbours(ids, segments, self.special)
        return buckets.add_(self.special.numel()), owned

    def count(self, input_ids: Tensor, layout: Layout) -> Counts:
        """Count each document's features: ids `(tokens,)` and the documents in the row."""
        keys, _ = self.occurrences(input_ids, layout)
        # As in ragged/order.py: numpy's sort of integers is several times as fast as torch's.
        on_cpu = keys.device.type == "cpu"
        keys = torch.from_numpy(np.sort(keys.numpy())) if on_cpu else keys.sort().values
        first = torch.ones_like(keys, dtype=torch.bool)
        torch.ne(keys[1:], keys[:-1], out=first[1:])
        starts = first.nonzero()[:, 0]
        counts = torch.cat([starts[1:], starts.new_tensor([keys.numel()])[: len(starts)]]) - starts
        distinct = _at(keys, starts)
        firsts = torch.arange(len(layout) + 1, device=keys.device) * self.size
        offsets = torch.searchsorted(distinct, firsts)
        return Counts(distinct % self.size, counts, Layout(offsets))


def _at(values: Tensor, places: Tensor) -> Tensor:
    # Plain indexing took 247 us for some 6,000 numbers, this 13 (one EPYC core, 2026-11-29).
    return values.index_select(0, places)


def _neighbours(ids: Tensor, segments: Tensor, special: Tensor) -> Tensor:
    """Mark the pieces that form a pair with the next one, `(tokens - 1,)`: none is special."""
    known = ~_at(special, ids)
    return known[:-1] & known[1:] & (segments[:-1] == segments[1:])


def pair_numbers(ids: Tensor, special: Tensor) -> Tensor:
    """Number the pairs of neighbouring pieces, `(tokens - 1,)`, the same pair alike."""
    return ids[:-1] * special.numel() + ids[1:]


def bucket(pairs: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """Hash the numbers of pairs `(n,)` to buckets `(n,)` and fingerprints `(n,)` int16."""
    hashed = pairs * _ODD
    # The product's high bits are the well mixed ones: 32 of them choose the bucket, 15 identify.
    places = (((hashed >> 31) & 0xFFFFFFFF) * buckets) >> 32
    return places, ((hashed >> 16) & 0x7FFF).to(torch.int16)


def choose_owners(pairs: Tensor, documents: Tensor, buckets: int, least: int = 2) -> Tensor:
    """Give each bucket to the pair that most documents hold, of those that `least` hold.

    `pairs` are distinct numbers and `documents` how many hold each, `(n,)` int64; returns
    fingerprints `(buckets,)` int16.
    """
    owners = torch.full((buckets,), NOBODY, dtype=torch.int16)
    if not buckets:
        return owners
    enough = documents >= least
    order = documents[enough].argsort(descending=True, stable=True)
    places, fingerprints = bucket(pairs[enough][order], buckets)
    # Of several numbers for one place, numpy's unique names the first, the most frequent pair.
    taken, first = np.unique(places.numpy(), return_index=True)
    owners[torch.from_numpy(taken)] = fingerprints[torch.from_numpy(first)]
    return owners


def count_pairs(ids: Tensor, layout: Layout, special: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of the pairs in a row, and how many documents hold each, `(n,)` each."""
    ids = _checked(ids, layout, special.numel())
    mask = _neighbours(ids, layout.segment_ids, special)
    numbers = pair_numbers(ids, special)[mask]
    pairs, places = np.unique(numbers.numpy(), return_inverse=True)
    held = np.unique(layout.segment_ids[:-1][mask].numpy() * len(pairs) + places)
    documents = np.bincount(held % max(1, len(pairs)), minlength=len(pairs))
    return torch.from_numpy(pairs), torch.from_numpy(documents)


def _checked(input_ids: Tensor, layout: Layout, vocabulary: int) -> Tensor:
    """Return the ids as int64 `(tokens,)`; refuse what is no row of this vocabulary."""
    spans = layout.offsets[0] == 0 and min(layout.sizes, default=0) >= 0
    if not spans or input_ids.is_floating_point() or input_ids.shape != (layout.tokens,):
        raise DataError(
            "input_ids must be whole numbers, as many as boundaries span that start with 0 and "
            f"never decrease, got {input_ids.dtype} of shape {tuple(input_ids.shape)} and the "
            f"boundaries {layout.offsets.tolist()[:8]}; lay the documents end to end"
        )
    if len(input_ids):
        low, high = (int(end) for end in input_ids.aminmax())
        if low < 0 or high >= vocabulary:
            raise DataError(
                f"input_ids must be from 0 to {vocabulary - 1}, the pieces that the linear stage "
                f"knows, got {low if low < 0 else high}; use the tokenizer that it was fitted with"
            )
    return input_ids.long()
