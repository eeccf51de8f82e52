"""How alike documents are by their word pieces: what to label next, and what validation has seen.

A document is its pieces' sublinear counts times their rarity among these documents, of unit length,
as in the linear stage. Nothing of a model is needed.
"""

from typing import Any

import numpy as np

from tersely.errors import name_rows, require, warn
from tersely.text.encoding import EncodedDocuments, join_encoded

ALIKE = 0.95  # documents of a cosine from here on say nearly the same
_PAIRS = 20_000_000  # of documents that are compared at most, some seconds


def piece_vectors(encoded: EncodedDocuments, special: list[int]) -> Any:
    """Return sparse vectors `(documents, pieces)` of unit length; 0 where nothing is in a document.

    `special` are the ids to leave out, such as the tokenizer's `all_special_ids`.
    """
    sparse = require("scipy.sparse", "train")
    ids = np.concatenate([*encoded.windows, []]).astype(int)
    owners = np.repeat(np.arange(len(encoded)), encoded.sizes)
    ids, owners = (each[~np.isin(ids, special)] for each in (ids, owners))
    shape = len(encoded), int(ids.max(initial=0)) + 1
    counts = sparse.coo_array((np.ones(len(ids)), (owners, ids)), shape).tocsr()
    rarity = np.log((1 + len(encoded)) / (1 + np.bincount(counts.indices, minlength=shape[1]))) + 1
    counts.data = (1 + np.log(counts.data)) * rarity[counts.indices]
    lengths = np.sqrt((counts * counts).sum(axis=1))
    return sparse.diags_array(1 / np.maximum(lengths, 1e-9)) @ counts


def find_alike(
    train: EncodedDocuments, other: EncodedDocuments, special: list[int]
) -> tuple[list[int], int]:
    """Return which of the other documents are nearly one of `train`, and how many were compared.

    These are all, or as many of them, spread evenly, as take some seconds.
    """
    wanted = min(len(other), max(1, _PAIRS // len(train)))
    chosen = np.linspace(0, len(other) - 1, wanted).astype(int)
    vectors = piece_vectors(join_encoded([train, other.select(chosen)]), special)
    known, asked = vectors[: len(train)].T.tocsr(), vectors[len(train) :]
    parts = (asked[first : first + 256] @ known for first in range(0, wanted, 256))
    closest = np.concatenate([part.max(axis=1).toarray().ravel() for part in parts])
    return chosen[closest >= ALIKE].tolist(), wanted


def tell_alike(
    train: EncodedDocuments, other: EncodedDocuments, tokenizer: Any, what: str, rows: bool = False
) -> None:
    """Warn of documents, called `what`, that say nearly the same as `train`'s, by `rows` or not."""
    alike, compared = find_alike(train, other, tokenizer.all_special_ids)
    if alike:
        which = name_rows(alike) if rows else f"{len(alike):,}"
        warn(
            f"{which} of {compared:,} {what} nearly duplicate a training document (the cosine of "
            f"their pieces is {ALIKE} or more), so the figures are too optimistic",
            stacklevel=3,
        )


def choose_diverse(doubt: np.ndarray, vectors: Any, count: int) -> list[int]:
    """Choose documents of doubt `(documents,)` that are unlike each other, the best first.

    Each is the one of the largest doubt times its distance, 1 − cosine, to the nearest that is
    chosen already. Documents without doubt, and further ones that say the same, are left out.

    Example:
        >>> choose_diverse(np.array([0.9, 0.8, 0.5]), np.array([[1, 0], [1, 0], [0, 1]]), 3)
        [0, 2]
    """
    chosen: list[int] = []
    left = np.array(doubt, dtype=float)
    closest = np.zeros(len(left))
    while len(chosen) < min(count, len(left)):
        worth = left * (1 - closest)
        best = int(worth.argmax())
        if worth[best] < 1e-6:
            break
        chosen.append(best)
        row = vectors[[best]]
        row = row.toarray()[0] if hasattr(row, "toarray") else row[0]
        closest = np.maximum(closest, vectors @ row)
    return chosen
