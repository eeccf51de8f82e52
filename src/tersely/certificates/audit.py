"""A limit watched in production: a confidence sequence that may be looked at after every document.

A share of *all* documents is drawn for audit before it is known who answers them. Those answered
early go to the reference too, and differ if it says otherwise; the others agree, at no cost. So
what is watched is what was certified: answers that differ, as a share of all documents.

Bets on worse rates, decided in advance, are laid against the limit (2010.09686). While it holds,
their mean wealth is a supermartingale, however the rate moves below the limit and whoever looks how
often: it reaches 20 in at most 5 of 100 runs. It depends on two counts, which are all of the state.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from tersely.certificates.bounds import CONFIDENCE, check_limit
from tersely.errors import DataError

BETS = tuple(2 ** (power / 2) for power in range(1, 13))
"""The rates that are bet on, as multiples of the limit: 1.4 to 64 times. Of rates of 2, 4 and 10
times a limit of 1 %, half of the runs are warned within 1,000, 140 and 24 documents."""


@dataclass
class Audit:
    """What the audit of one run has seen so far.

    Example:
        >>> Audit(limit=0.01, audited=66, differing=6).warns
        True
    """

    limit: float  # that is certified, on the disagreement
    confidence: float = CONFIDENCE  # that no warning comes at all if the limit holds
    audited: int = 0  # documents drawn for audit, whoever answered them
    differing: int = 0  # of those, answered early with another label than the reference's

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if not 0 <= self.differing <= self.audited:
            raise DataError(f"differing must be from 0 to {self.audited}, got {self.differing}")

    def wealth(self, rate: float) -> float:
        """Return the logarithm of what 1 has become by betting against rates of at most `rate`.

        What would be bet on rates that are no worse is held back. So below the share seen the
        wealth falls as the rate grows, and above it stays under 1: what is refuted are all rates
        below some bound.
        """
        agreeing = self.audited - self.differing
        logs = []
        for bet in (min(multiple * self.limit, 1 - 1e-9) for multiple in BETS):
            gain = math.log(bet / rate) * self.differing
            loss = (math.log1p(-bet) - math.log1p(-rate)) * agreeing
            logs.append(gain + loss if bet > rate else 0.0)
        top = max(logs)
        return top + math.log(sum(math.exp(each - top) for each in logs) / len(logs))

    @property
    def warns(self) -> bool:
        """Whether the limit is no longer plausible."""
        return self.wealth(self.limit) >= -math.log(1 - self.confidence)

    def lower_bound(self) -> float:
        """Return the bound that the true rate is not below, to 1e-6 of itself."""
        needed = -math.log(1 - self.confidence)
        low, high = 1e-12, self.differing / max(1, self.audited)
        if high <= low or self.wealth(low) < needed:
            return 0.0
        while high - low > 1e-6 * high:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.wealth(middle) >= needed else (low, middle)
        return low

    def sentence(self) -> str:
        """Return what was seen, for metrics and the record of a run."""
        return (
            f"{self.differing:,} of {self.audited:,} audited documents were answered early with "
            f"a different label than the reference, at least {self.lower_bound():.2%} of all at "
            f"{self.confidence:.0%} confidence; certified is at most {self.limit:.2%}"
            + ("; the texts have changed: recalibrate on new ones" * self.warns)
        )

    def report(self) -> dict[str, Any]:
        """Return the state with the rate that it proves at least, and whether the limit holds."""
        return asdict(self) | {"at_least": self.lower_bound(), "plausible": not self.warns}
