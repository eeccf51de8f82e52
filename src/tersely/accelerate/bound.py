"""What a count of failures proves, and the texts that it is counted on.

The bound is Clopper and Pearson's, exact and one-sided: the largest share under which so few
failures would be seen in 5 of 100 samples. It holds for any share and any number of documents, and
asks only that they were drawn alike. A proof is valid because nothing that was decided had seen its
texts: so selection and proof are drawn apart before anything is measured, a text that occurs twice
counts once, and the proof's texts are looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tersely.errors import DataError, require

__all__ = ["CONFIDENCE", "Split", "documents_needed", "least_limit", "split_texts", "upper_bound"]

CONFIDENCE = 0.95


def upper_bound(failures: int, documents: int, confidence: float = CONFIDENCE) -> float:
    """Return the share of failures that is not exceeded, at this confidence.

    Args:
        failures: documents on which it failed.
        documents: all that were looked at, drawn without regard to the outcome.
        confidence: one-sided.

    Raises:
        DataError: if there are no documents, or more failures than documents.

    Example:
        >>> round(upper_bound(0, 598), 6)
        0.004997
    """
    if documents < 1 or not 0 <= failures <= documents:
        raise DataError(
            f"expected failures out of at least one document, got {failures} of {documents}; "
            "count again"
        )
    test = require("scipy.stats", "bench").binomtest(failures, documents, alternative="less")
    return float(test.proportion_ci(confidence, method="exact").high)


def documents_needed(limit: float, confidence: float = CONFIDENCE) -> int:
    """Return the fewest documents that can prove a limit, when none of them fails.

    Raises:
        DataError: if the limit is not a share between 0 and 1.

    Example:
        >>> documents_needed(0.005)
        598
    """
    if not 0 < limit < 1:
        raise DataError(
            f"expected a limit between 0 and 1 (0.005, or 0.5%), got {limit:g}; give a share"
        )
    return math.ceil(math.log(1 - confidence) / math.log1p(-limit))


def least_limit(documents: int, confidence: float = CONFIDENCE) -> float:
    """Return the smallest limit that so many documents can prove, when none of them fails.

    Example:
        >>> round(least_limit(222), 4)
        0.0134
    """
    return upper_bound(0, documents, confidence)


@dataclass(frozen=True)
class Split:
    """Numbers of the documents for selection and for proof; no number, and no text, is in both."""

    selection: tuple[int, ...]
    proof: tuple[int, ...]


def split_texts(texts: Sequence[str], limit: float, seed: int = 0) -> Split:
    """Draw one half for selection and one for proof, if the latter can prove the limit at all.

    Args:
        texts: the documents; each different text is used once.
        limit: the share of failures to prove.
        seed: of the draw.

    Raises:
        DataError: if there are too few different texts; the message says how many are needed.

    Example:
        >>> split = split_texts([f"text {number}" for number in range(1196)], 0.005)
        >>> len(split.selection), len(split.proof), set(split.selection) & set(split.proof)
        (598, 598, set())
    """
    needed = documents_needed(limit)
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(text, number)
    numbers = list(first.values())
    half = len(numbers) // 2
    if len(numbers) - half < needed:
        can = ""
        if half:
            least = math.ceil(1e4 * least_limit(len(numbers) - half)) / 1e4
            can = f", or allow at least {least:.2%}"
        raise DataError(
            f"{needed} texts that are not used for choosing are needed to prove a limit of "
            f"{limit:.3g} even if nothing differs, so {2 * needed - 1:,} different texts in all, "
            f"got {len(numbers):,}; give more texts{can}"
        )
    order = np.random.default_rng(seed).permutation(numbers).tolist()
    return Split(tuple(order[:half]), tuple(order[half:]))
