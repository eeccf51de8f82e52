"""Ratio and fuzzy pruning as the paper tells them, on lists, one token after the other.

Scores are whole numbers and quantiles fractions, so that nothing is ever rounded.
"""

from __future__ import annotations

import math
from fractions import Fraction


def quantile(values: list[int], q: Fraction) -> Fraction:
    ordered = sorted(values)
    place = (len(ordered) - 1) * q
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def unsafe_tokens(
    scores: list[list[int]],
    alive: list[list[bool]],
    important: float = 0.01,
    unimportant: float = 0.9,
) -> list[list[bool]]:
    """The complement of I − U in one document, `[token][head]`, by the memberships."""
    heads = range(len(scores[0]))
    pool = [scores[j][h] for j in range(len(scores)) for h in heads if alive[j][h]]
    if not pool:
        return [[False for _ in heads] for _ in scores]
    a, b = quantile(pool, Fraction(1, 4)), quantile(pool, Fraction(3, 4))

    def membership(score: int) -> Fraction:
        if score <= a:
            return Fraction(0)
        if score >= b:
            return Fraction(1)
        return (score - a) / (b - a)

    def is_unsafe(score: int) -> bool:
        in_i = membership(score) >= Fraction(str(important))
        in_u = 1 - membership(score) >= Fraction(str(unimportant))
        return not (in_i and not in_u)

    return [[alive[j][h] and is_unsafe(scores[j][h]) for h in heads] for j in range(len(scores))]


def kept(count: int, keep: float) -> int:
    return max(1, math.floor(keep * count + 1e-9))


def take_lowest(scores: list[int], among: list[int], count: int) -> set[int]:
    """The `count` lowest of the tokens `among`, the later one first where two are equal."""
    losers: set[int] = set()
    for _ in range(count):
        left = [j for j in among if j not in losers]
        if left:
            losers.add(min(left, key=lambda j: (scores[j], -j)))
    return losers


def losers_of_document(
    scores: list[list[int]],
    alive: list[list[bool]],
    pinned: list[bool],
    keep: float,
    reading: str | None = None,
    **cuts: float,
) -> list[list[bool]]:
    """Who goes in one document, `[token][head]`; without a reading, by ratio alone."""
    unsafe = unsafe_tokens(scores, alive, **cuts)
    marked = [[False] * len(scores[0]) for _ in scores]
    for h in range(len(scores[0])):
        living = [j for j in range(len(scores)) if alive[j][h]]
        if not living:
            continue
        column = [row[h] for row in scores]
        among, count = living, len(living) - kept(len(living), keep)
        if reading is not None:
            among = [j for j in living if unsafe[j][h]]
        if reading == "complement":
            count = min(len(among) - math.floor(keep * len(among) + 1e-9), len(living) - 1)
        among = [j for j in among if not pinned[j]]
        for j in take_lowest(column, among, count):
            marked[j][h] = True
    return marked
