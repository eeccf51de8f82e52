"""Two halves of the texts: one to choose on, one to prove the one choice on.

The proof is valid because nothing that was decided had seen its half. So they are drawn once,
before anything is measured, a text that occurs twice counts once, and the second half is looked at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tersely.accelerate.bound import documents_needed, least_limit
from tersely.errors import DataError

__all__ = ["Halves", "split_halves"]


@dataclass(frozen=True)
class Halves:
    """Numbers of the documents in either half; no number, and no text, is in both."""

    choose: tuple[int, ...]
    prove: tuple[int, ...]


def split_halves(texts: Sequence[str], limit: float, seed: int = 0) -> Halves:
    """Draw the two halves, if the second can prove the limit at all.

    Args:
        texts: the documents; each different text is used once.
        limit: the share of failures to prove.
        seed: of the draw.

    Raises:
        DataError: if there are too few different texts; the message says how many are needed.

    Example:
        >>> halves = split_halves([f"text {number}" for number in range(1196)], 0.005)
        >>> len(halves.choose), len(halves.prove), set(halves.choose) & set(halves.prove)
        (598, 598, set())
    """
    needed = documents_needed(limit)
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(text, number)
    numbers = np.array(list(first.values()))
    half = len(numbers) // 2
    if len(numbers) - half < needed:
        can = ""
        if half:
            least = np.ceil(1e4 * least_limit(len(numbers) - half)) / 1e4
            can = f", or allow at least {least:.2%}"
        raise DataError(
            f"{needed} texts that are not used for choosing are needed to prove a limit of "
            f"{limit:.3g} even if nothing differs, so {2 * needed - 1:,} different texts in all, "
            f"got {len(numbers):,}; give more texts{can}"
        )
    order = np.random.default_rng(seed).permutation(numbers).tolist()
    return Halves(tuple(order[:half]), tuple(order[half:]))
