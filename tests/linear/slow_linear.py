"""The linear stage written with dicts and loops, a document at a time, and small documents."""

import math
from collections import Counter

import numpy as np
import torch
from hypothesis import strategies as st

from tersely.linear import LinearForm, LinearStage
from tersely.linear.features import NOBODY
from tersely.ragged import Layout

VOCABULARY, SPECIAL = 12, (0, 1)
_GOLDEN = 0x9E3779B97F4A7C15

DOCUMENTS = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), min_size=1, max_size=5)
BUCKETS = st.sampled_from([0, 1, 7, 60])


def row(documents: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay documents end to end."""
    flat = [piece for document in documents for piece in document]
    return torch.tensor(flat, dtype=torch.int64), Layout.from_lengths(
        list(map(len, documents))
    ).offsets


def pairs_of(document: list[int]) -> list[tuple[int, int, int]]:
    """The places of pairs of pieces that are not special, and the pieces."""
    neighbours = zip(document[:-1], document[1:], strict=True)
    return [
        (place, left, right)
        for place, (left, right) in enumerate(neighbours)
        if left not in SPECIAL and right not in SPECIAL
    ]


def hashed(left: int, right: int, buckets: int) -> tuple[int, int]:
    """The bucket and the fingerprint of a pair."""
    product = (left * VOCABULARY + right) * _GOLDEN % 2**64
    return (product >> 31) % 2**32 * buckets // 2**32, (product >> 16) % 2**15


def owners_of(documents: list[list[int]], buckets: int, least: int) -> list[int]:
    """The owner of each bucket: the pair that most documents hold, the smaller one among equals."""
    held = Counter(pair for document in documents for pair in {p[1:] for p in pairs_of(document)})
    owners = [NOBODY] * buckets
    for pair in sorted(held, key=lambda pair: (-held[pair], pair)):
        if buckets and held[pair] >= least:
            place, fingerprint = hashed(*pair, buckets)
            owners[place] = fingerprint if owners[place] == NOBODY else owners[place]
    return owners


def occurrences(document: list[int], owners: list[int]) -> list[tuple[int, tuple[int, ...]]]:
    """The features of a document, each with the places of its pieces."""
    found = [(piece, (place,)) for place, piece in enumerate(document) if piece not in SPECIAL]
    for place, left, right in pairs_of(document) if owners else ():
        bucket, fingerprint = hashed(left, right, len(owners))
        if owners[bucket] == fingerprint:
            found.append((VOCABULARY + bucket, (place, place + 1)))
    return found


def vector(document: list[int], stage: LinearStage) -> dict[int, float]:
    """The features' values: sublinear counts times IDF, of unit length."""
    counts = Counter(feature for feature, _ in occurrences(document, stage.owners.tolist()))
    values = {f: (1 + math.log(n)) * float(stage.idf[f]) for f, n in counts.items()}
    length = math.sqrt(sum(value**2 for value in values.values()))
    return {feature: value / length for feature, value in values.items()}


def margins(document: list[int], stage: LinearStage) -> np.ndarray:
    """The margins of a document `(classes,)`."""
    total = stage.bias.double().numpy().copy()
    for feature, value in vector(document, stage).items():
        total += value * stage.weights[feature].double().numpy()
    return total


def contributions(document: list[int], stage: LinearStage) -> np.ndarray:
    """What each token adds to the margins, `(tokens, classes)`."""
    found, values = occurrences(document, stage.owners.tolist()), vector(document, stage)
    times = Counter(feature for feature, _ in found)
    total = np.zeros((len(document), stage.form.classes))
    for feature, places in found:
        share = values[feature] / times[feature] / len(places)
        for place in places:
            total[place] += share * stage.weights[feature].double().numpy()
    return total


def random_stage(buckets: int, documents: list[list[int]] = (), **form) -> LinearStage:
    """A stage with random tables, whose buckets belong to the pairs of some documents."""
    form = {"kind": "svc", "classes": 3, "special_ids": SPECIAL, **form}
    stage = LinearStage(LinearForm(vocabulary=VOCABULARY, buckets=buckets, **form))
    stage.weights.copy_(torch.randn_like(stage.weights).half())
    stage.idf.mul_(1 + torch.rand_like(stage.idf)).copy_(stage.idf.half())
    stage.bias.copy_(torch.randn_like(stage.bias))
    owners = owners_of(list(documents), buckets, least=1)
    stage.owners.copy_(torch.tensor(owners, dtype=torch.int16))
    return stage
