"""Ratio and fuzzy pruning as the papers tell them, on lists, one token after the other.

Of scores that are whole numbers, quantiles are fractions, so that nothing is ever rounded.
"""

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Document:
    """One document of a case: scores and alive `[token][head]`, pinned `[token]`."""

    scores: list[list[float]]
    alive: list[list[bool]]
    pinned: list[bool]


def unsafe_tokens(case: Document, head: int) -> list[int]:
    """The complement of I − U among the living of a head, by the memberships."""
    rows = list(zip(case.scores, case.alive, strict=True))
    pool = sorted(s for row, alive in rows for s, lives in zip(row, alive, strict=True) if lives)

    def quantile(q: Fraction) -> Fraction:
        place = (len(pool) - 1) * q
        below = math.floor(place)
        above = pool[min(below + 1, len(pool) - 1)]
        return pool[below] + (place - below) * (above - pool[below])

    def is_safe(score: float) -> bool:
        a, b = quantile(Fraction(1, 4)), quantile(Fraction(3, 4))
        membership = Fraction(int(score > a)) if a == b else (score - a) / (b - a)
        membership = min(max(membership, Fraction(0)), Fraction(1))
        return membership >= Fraction("0.01") and not 1 - membership >= Fraction("0.9")

    return [j for j, (row, alive) in enumerate(rows) if alive[head] and not is_safe(row[head])]


def kept(share: float) -> int:
    return max(1, math.floor(share + 1e-9))


# Of the living tokens of a head and those of them that are not safe: who may go, and how many.
RULES = {
    "ratio": lambda living, unsafe, keep: (living, len(living) - kept(keep * len(living))),
    "block": lambda living, unsafe, keep: (unsafe, len(living) - kept(keep * len(living))),
    "complement": lambda living, unsafe, keep: (
        unsafe,
        min(len(unsafe) - math.floor(keep * len(unsafe) + 1e-9), len(living) - 1),
    ),
    "length-drop": lambda living, unsafe, keep: (
        living,
        len(living) - max(1, math.ceil(keep * len(living) - 1e-9)),
    ),
}


def slow_losers(case: Document, rule: str, keep: float) -> list[list[bool]]:
    """Who goes, `[token][head]`: the lowest, the later one first where two are equal."""
    marked = [[False] * len(row) for row in case.scores]
    for head in range(len(case.scores[0])):
        living = [j for j, alive in enumerate(case.alive) if alive[head]]
        if not living:
            continue
        among, count = RULES[rule](living, unsafe_tokens(case, head), keep)
        free = [j for j in among if not case.pinned[j]]
        for j in sorted(free, key=lambda j: (case.scores[j][head], -j))[: max(0, count)]:
            marked[j][head] = True
    return marked
