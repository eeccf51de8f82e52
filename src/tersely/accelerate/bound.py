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

import numpy as np

from tersely.errors import DataError, require

CONFIDENCE = 0.95


def upper_bound(failures: int, documents: int) -> float:
    """Return the share of failures that is not exceeded, at 95 % confidence.

    `documents` are all that were looked at, drawn without regard to the outcome.

    Example:
        >>> round(upper_bound(0, 598), 6)
        0.004997
    """
    test = require("scipy.stats", "bench").binomtest(failures, documents, alternative="less")
    return float(test.proportion_ci(CONFIDENCE, method="exact").high)


def documents_needed(limit: float) -> int:
    """Return the fewest documents that can prove a limit, when none of them fails.

    Example:
        >>> documents_needed(0.005)
        598
    """
    if not 0 < limit < 1:
        raise DataError(
            f"expected a limit between 0 and 1 (0.005, or 0.5%), got {limit:g}; give a share"
        )
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-limit))


def split_texts(texts: Sequence[str], limit: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Return numbers of texts for selection and for proof, half of the different ones each.

    Raises:
        DataError: if there are too few different texts to prove the limit even if nothing fails;
            the message says how many are needed.

    Example:
        >>> selection, proof = split_texts([f"text {number}" for number in range(1196)], 0.005)
        >>> len(selection), len(proof), set(selection) & set(proof)
        (598, 598, set())
    """
    needed = documents_needed(limit)
    numbers = list({text: number for number, text in enumerate(texts)}.values())
    half = len(numbers) // 2
    if len(numbers) - half < needed:
        can = ""
        if half:
            least = math.ceil(1e4 * upper_bound(0, len(numbers) - half)) / 1e4
            can = f", or allow at least {least:.2%}"
        raise DataError(
            f"{needed} texts that are not used for choosing are needed to prove a limit of "
            f"{limit:.3g} even if nothing differs, so {2 * needed - 1:,} different texts in all, "
            f"got {len(numbers):,}; give more texts{can}"
        )
    order = np.random.default_rng(seed).permutation(numbers).tolist()
    return order[:half], order[half:]
