"""What a count of failures proves, and how many documents prove a limit.

The bound is Clopper and Pearson's, exact and one-sided: the largest share under which so few
failures would be seen in 5 of 100 samples. It holds for any share and any number of documents, and
asks only that they were drawn alike and independently.
"""

import bisect
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tersely.errors import DataError, require

CONFIDENCE = 0.95  # of everything that is certified
LIMITS = (0.001, 0.005, 0.01, 0.02, 0.05)


def check_limit(limit: float) -> float:
    """Return a limit, which lies between 0 and 1, or raise DataError."""
    if not 0 < limit < 1:
        raise DataError(f"expected a limit between 0 and 1, got {limit:g}; 0.5 % is 0.005")
    return float(limit)


def upper_bound(failures: ArrayLike, documents: ArrayLike) -> np.ndarray:
    """Return the share of failures that is not exceeded, at 95 % confidence, for each count.

    `documents` are all that were looked at, drawn without regard to the outcome. Of none of them,
    or where all fail, the bound is 1.

    Example:
        >>> upper_bound([0, 1], 598).round(6).tolist()
        [0.004997, 0.007908]
    """
    failures, rest = np.asarray(failures), np.asarray(documents) - failures
    if (failures < 0).any() or (rest < 0).any():
        raise DataError("failures must be from 0 to the number of documents")
    inverse = require("scipy.special", "bench").betaincinv
    bound = inverse(failures + 1, np.maximum(rest, 1e-9), CONFIDENCE)
    return np.where(rest == 0, 1.0, bound)[()]  # a number for numbers


def documents_needed(limit: float, rate: float = 0.0) -> int | None:
    """Return the fewest documents that prove a limit if this share of them fails.

    None where the rate is not below the limit: no number of documents proves it then. More failures
    than expected are about as likely as fewer, so half as many documents again are wise.

    Example:
        >>> documents_needed(0.005), documents_needed(0.005, 0.006)
        (598, None)
    """
    if rate >= check_limit(limit):
        return None
    return fewest(lambda number: upper_bound(rate * number, number) <= limit, limit)


def fewest(proves: Callable[[int], bool], limit: float) -> int:
    """Return the number of documents from which on a limit is proven."""
    enough = math.ceil(1 / limit)
    while not proves(enough):
        enough *= 2
    return 1 + bisect.bisect_left(range(1, enough), True, key=proves)
