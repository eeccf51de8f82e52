"""Attention patterns, spelt out pair by pair in Python."""

import math

import torch
from torch import Tensor

from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Syntax, Union
from tersely.reduction import Pattern

BITS = 2**31 - 1


def scramble(number: int, seed: int) -> int:
    """The hash of random pairs, with Python's own integers."""
    number &= BITS
    for factor in (1_540_483_477, 1_779_033_703, 668_265_263):
        number = ((number + seed + 1) & BITS) * factor & BITS
        number ^= number >> 15
    return number


class Slow:
    """What a pattern connects in one document, of its ids, embeddings `table`, parse and stems."""

    def __init__(self, ids: list[int], table: Tensor, parse, stems: Tensor) -> None:
        self.ids, self.length = ids, len(ids)
        self.words, self.heads = parse(ids)
        self.stems = [int(stems[number]) for number in ids]
        total = sum(scramble(number + 1_000_003 * place, 0) for place, number in enumerate(ids))
        self.document = scramble(total, 0)
        units = [table[number] / table[number].norm() for number in ids]
        self.cosines = [[round(float(a @ b) * 1e5) for b in units] for a in units]

    def mask(self, pattern: Pattern, head: int = 0) -> Tensor:
        """`(length, length)` bool."""
        rows = [
            [self.sees(pattern, query, key, head) for key in range(self.length)]
            for query in range(self.length)
        ]
        return torch.tensor(rows)

    def sees(self, pattern: Pattern, query: int, key: int, head: int) -> bool:
        """Whether a query sees a key."""
        if query == key or (pattern.cls and 0 in (query, key)):
            return True
        kind = type(pattern).__name__.lower()
        return getattr(self, kind)(pattern, query, key, head)

    def union(self, pattern: Union, query: int, key: int, head: int) -> bool:
        return any(self.sees(part, query, key, head) for part in pattern.of)

    def neighbours(self, pattern: Neighbours, query: int, key: int, head: int) -> bool:
        width = pattern.width[head] if isinstance(pattern.width, list) else pattern.width
        places = range(self.length)
        apart = sorted(abs(q - k) for q in places for k in places)
        if width is None:
            # The least width within which there are as many pairs.
            width = apart[max(0, math.ceil(pattern.share * len(apart) - 1e-6) - 1)]
        return abs(query - key) <= width

    def globaltokens(self, pattern: GlobalTokens, query: int, key: int, head: int) -> bool:
        count = pattern.tokens
        if count is None:
            count = math.ceil(self.length * (1 - math.sqrt(1 - pattern.share)) - 1e-9)
        return min(query, key) < count

    def randompairs(self, pattern: RandomPairs, query: int, key: int, head: int) -> bool:
        row = scramble(self.document + query, pattern.seed)
        return scramble(row + 1_000_003 * key, pattern.seed) < round(pattern.share * 2**31)

    def syntax(self, pattern: Syntax, query: int, key: int, head: int) -> bool:
        one, other = self.words[query], self.words[key]
        if -1 in (one, other):
            return False
        return one == other or self.heads[one] == other or self.heads[other] == one

    def lexical(self, pattern: Lexical, query: int, key: int, head: int) -> bool:
        if pattern.by == "ids":
            return self.ids[query] == self.ids[key]
        if pattern.by == "stem":
            return self.stems[query] == self.stems[key]
        places = range(self.length)
        others = sorted(
            (self.cosines[q][k] for q in places for k in places if q != k), reverse=True
        )
        wanted = math.ceil(pattern.share * len(others))
        return wanted > 0 and self.cosines[query][key] >= others[wanted - 1]
