"""The net loss: documents that turned wrong less those that turned right, and its exact bound.

Of n documents W turned wrong and R right. The bound is Buehler's (1957): outcomes are put in one
order, here by a usual upper limit, W − R + z·√(W + R + 4), and the bound is the least limit at
which an outcome no worse than the one seen has a chance of at most 5 %, whatever the share of
discordant documents (W + R) truly is. That share is looked for in an interval that misses it once
in 100,000 draws, which are added (Berger and Boos, 1994). Nothing is approximate: between two
looks, the chance is bounded by that of the fewest losses *and* the most gains.

What it replaced proves less; the lab notes have the shares.
"""

import math

import numpy as np

from tersely.certificates.bounds import CONFIDENCE, check_limit, fewest
from tersely.errors import DataError, require

_MISSED = 1e-5  # how often the interval misses the true share of discordant documents
_STEP = 0.01  # half the distance of two looks, in standard deviations of the net loss
_TAIL = 1e-9  # numbers of discordant documents less likely than this count as certain
_ADDED = 4  # to W + R in the order; of 1 to 15, with which 300 to 2,000 documents prove most


def net_loss_p_value(worse: float, better: float, documents: int, limit: float) -> float:
    """Return how likely an outcome no worse is, at most, if the net loss is the limit or more.

    `limit` is a share of all documents, below 0 where a gain is to be proven. Counts need not be
    whole, so as to plan with.
    """
    special, binom = require("scipy.special", "bench"), require("scipy.stats", "bench").binom
    low, high = _discordant(worse, better, documents)
    low = max(low, abs(limit))
    if low > high:
        return _MISSED
    looks = 1 + math.ceil((math.sqrt(high) - math.sqrt(low)) * math.sqrt(documents) / _STEP)
    edges = np.linspace(math.sqrt(low), math.sqrt(high), looks + 1)[:, None] ** 2
    wrong = np.maximum(edges[:-1] + limit, 0) / 2
    shares = np.minimum(wrong + np.maximum(edges[1:] - limit, 0) / 2, 1)
    first, last = (binom.ppf(_TAIL, documents, shares[0]), binom.isf(_TAIL, documents, shares[-1]))
    counts = np.arange(int(first[0]), int(last[0]) + 1)

    z = special.ndtri(CONFIDENCE)
    seen = worse - better + z * math.sqrt(worse + better + _ADDED)
    # Of so many discordant documents at most these are losses where the outcome is no worse.
    most = np.floor((seen + counts - z * np.sqrt(counts + _ADDED)) / 2 + 1e-9)
    rest = documents - counts
    ways = special.gammaln(documents + 1) - special.gammaln(counts + 1) - special.gammaln(rest + 1)
    chance = np.exp(ways + special.xlogy(counts, shares) + special.xlog1py(rest, -shares))
    # Where so many are next to impossible, all that they might be counts; it saves half the time.
    look, column = np.nonzero((chance > 1e-10) & (most >= 0))
    odds = (wrong / np.maximum(shares, 1e-300))[look, 0]
    chance[:, most < 0] = 0
    chance[look, column] *= special.bdtr(most.clip(0, counts)[column], counts[column], odds)
    return min(1.0, float(chance.sum(axis=1).max()) + _MISSED + 2 * _TAIL)


def net_loss_bound(worse: int, better: int, documents: int) -> float:
    """Return the net loss, a share of all documents, that is not exceeded; below 0 it is a gain.

    It is rounded up by at most 1e-6.

    Example:
        >>> round(net_loss_bound(0, 0, 299), 4), net_loss_bound(20, 60, 1000) < 0
        (0.01, True)
    """
    _, proven = _discordant(worse, better, documents)
    refuted = min((worse - better) / documents, proven)
    while proven - refuted > 1e-6:
        middle = (proven + refuted) / 2
        if net_loss_p_value(worse, better, documents, middle) <= 1 - CONFIDENCE:
            proven = middle
        else:
            refuted = middle
    return proven


def documents_for_net_loss(limit: float, worse: float, better: float) -> int | None:
    """Return the fewest documents that prove a net loss if these shares turn wrong and right.

    None where their difference is not below the limit, or so near that it would take more than
    100,000. As for chance, see `documents_needed`.

    Example:
        >>> documents_for_net_loss(0.01, 0, 0)
        299
    """
    z = require("scipy.special", "bench").ndtri(CONFIDENCE)
    gap = check_limit(limit) - (worse - better)
    # By the normal approximation, which asks for hardly fewer.
    if gap <= 0 or z**2 * (worse + better) > 100_000 * gap**2:
        return None

    def proves(documents: int) -> bool:
        counts = worse * documents, better * documents
        return net_loss_p_value(*counts, documents, limit) <= 1 - CONFIDENCE

    return fewest(proves, limit)


def _discordant(worse: float, better: float, documents: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of the share of documents that turned wrong or right."""
    discordant, rest = worse + better, documents - worse - better
    if documents < 1 or min(worse, better, rest) < 0:
        raise DataError(
            f"worse and better must be counts out of at least one document, got {worse} and "
            f"{better} of {documents}"
        )
    inverse = require("scipy.special", "bench").betaincinv
    low = inverse(discordant, rest + 1, _MISSED / 2) if discordant else 0.0
    high = inverse(discordant + 1, rest, 1 - _MISSED / 2) if rest else 1.0
    return float(low), float(high)
