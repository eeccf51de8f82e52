"""Documents that repeat another one are left out, so that none is seen both in training and after.

Libraries copy documentation: an index repeats what a series says, and numpy's six families of
polynomials differ in one word. Splitting by module would put such copies on both sides.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["distinct"]

Item = TypeVar("Item")

_OPENING = 200  # characters
_SHINGLE = 3  # words
_SKETCH = 32  # shingles kept per document: those with the smallest checksums
_SHARED = 12  # of them in common: about half of all shingles for texts of the same length


def distinct(items: Iterable[Item], text_of: Callable[[Item], str]) -> list[Item]:
    """Keep the first of every group of items whose texts are copies or near-copies.

    Two texts are near-copies if, up to white space, they begin with the same 200 characters, or
    if they share a good part of their runs of three words (estimated on 32 runs of each).

    Args:
        items: what to choose from; the order decides which copy stays.
        text_of: gives an item's text.

    Returns:
        The items kept, in their order.

    Example:
        >>> distinct(["one  text", "another text", "one text"], str)
        ['one  text', 'another text']
    """
    kept: list[Item] = []
    openings: set[str] = set()
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for item in items:
        text = text_of(item)
        opening = " ".join(text.split())[:_OPENING]
        sketch = _sketch(text)
        common = Counter(number for shingle in sketch for number in holders[shingle])
        if opening in openings or max(common.values(), default=0) >= _SHARED:
            continue
        openings.add(opening)
        for shingle in sketch:
            holders[shingle].append(len(kept))
        kept.append(item)
    return kept


def _sketch(text: str) -> list[int]:
    """Draw a fixed sample of a text's runs of three words; texts in common draw runs in common."""
    words = re.findall(r"\w+", text.lower())
    runs = {
        zlib.crc32(" ".join(words[start : start + _SHINGLE]).encode())
        for start in range(len(words) - _SHINGLE + 1)
    }
    return sorted(runs)[:_SKETCH]
