"""How much disagreement a count of disagreements allows for: the exact one-sided binomial bound.

Clopper and Pearson's: the largest share under which so few would be seen in 5 of 100 samples. It
holds for any share and any number of documents, and asks only that they were drawn alike.
"""

from __future__ import annotations

import math

from tersely.errors import DataError, require

__all__ = ["CONFIDENCE", "documents_needed", "least_limit", "upper_bound"]

CONFIDENCE = 0.95


def upper_bound(failures: int, documents: int, confidence: float = CONFIDENCE) -> float:
    """The share of failures that is not exceeded, at this confidence.

    Args:
        failures: documents on which it failed.
        documents: all that were looked at, drawn without regard to the outcome.
        confidence: one-sided, 0.95 by default.

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
    """The fewest documents that can prove a limit, when none of them fails.

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
    """The smallest limit that so many documents can prove, when none of them fails.

    Example:
        >>> round(least_limit(222), 4)
        0.0134
    """
    return upper_bound(0, documents, confidence)
