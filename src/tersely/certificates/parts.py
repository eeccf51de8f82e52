"""Documents drawn apart by what they say: what decides never sees what proves.

A document's part follows from its own text and a seed alone, not from the order of the documents or
from which others are there: a text that fitted or chose once does not prove later, however many are
added, as long as seed and shares stay. In exchange the sizes of the parts are those of a draw.

Texts are equal if they are so with spaces and case normalised: "A  b" is "a b". A text that occurs
twice counts once.
"""

import bisect
import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tersely.errors import DataError

PARTS = {"fitting": 0.4, "choosing": 0.2, "proving": 0.4}
REVIEWED = {"choosing": 0.2, "proving": 0.8}
"""The shares where all that is chosen is from which confidence on an answer counts."""

Text = str | Sequence[str]
"""A text, or the texts of a pair."""


@dataclass(frozen=True)
class Part:
    """What a part of the documents was used for; its fingerprint says which texts they were."""

    name: str
    did: str
    documents: int
    fingerprint: str

    @classmethod
    def of(cls, name: str, did: str, texts: Sequence[Text]) -> Self:
        """Say what these texts were used for."""
        return cls(name, did, len(texts), fingerprint(texts))


def fingerprint(texts: Iterable[Text]) -> str:
    """Return 16 hexadecimal digits of the different texts, in whatever order they come.

    Example:
        >>> fingerprint(["A  b", "c"]) == fingerprint(["c", "a b", "C"])
        True
    """
    digests = sorted({_digest(text) for text in texts})
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()


def different(texts: Sequence[Text], *, without: Iterable[Text] = ()) -> list[int]:
    """Return the numbers of the different texts, each where it occurs first.

    `without` are texts that did something else already, such as those of a training set.

    Example:
        >>> different(["a", "b", "A ", "c"], without=["C"])
        [0, 1]
    """
    # Later numbers are overwritten by earlier ones.
    numbers = {_digest(texts[number]): number for number in reversed(others(texts, without))}
    return sorted(numbers.values())


def others(texts: Sequence[Text], used: Iterable[Text]) -> list[int]:
    """Return the numbers of the texts, repeated ones too, that are equal to none of `used`."""
    digests = {_digest(text) for text in used}
    return [number for number, text in enumerate(texts) if _digest(text) not in digests]


def draw_parts(
    texts: Sequence[Text], shares: Mapping[str, float] = PARTS, *, seed: int = 0
) -> dict[str, list[int]]:
    """Return the numbers of the different texts that fall to each part, by its name.

    `shares` add up to 1, or a DataError is raised, as for an empty part. Another seed draws other
    parts; seeds tried until one proves a limit prove nothing.
    """
    if min(shares.values(), default=0) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise DataError(f"expected shares above 0 that add up to 1, got {dict(shares)}")
    drawn: dict[str, list[int]] = {name: [] for name in shares}
    ends = list(itertools.accumulate(shares.values()))[:-1]
    salt = str(seed).encode()[:16]
    for number in different(texts):
        # A number in [0, 1) from what the text says.
        salted = hashlib.blake2b(_digest(texts[number]), digest_size=7, salt=salt).digest()
        place = int.from_bytes(salted, "big") / 2**56
        drawn[list(drawn)[bisect.bisect(ends, place)]].append(number)
    if empty := [name for name, numbers in drawn.items() if not numbers]:
        raise DataError(
            f"no document is left for {' and '.join(empty)}: of {len(texts):,} texts "
            f"{sum(map(len, drawn.values())):,} are different, ignoring spaces and case; give more"
        )
    return drawn


def unused(texts: Sequence[Text], parts: Iterable[Part]) -> list[int]:
    """Return the numbers of the different texts that are in no part that is known again.

    That is one of all these texts, or that `draw_parts` makes of them with the usual shares and
    seed: a fingerprint is that of a whole part, so that single texts of one are not known.
    """
    numbers, used = different(texts), {part.fingerprint for part in parts}
    groups = [numbers]
    for shares in (PARTS, REVIEWED):
        with contextlib.suppress(DataError):  # too few to be drawn apart
            groups += draw_parts(texts, shares).values()
    known = [own for own in groups if fingerprint(texts[number] for number in own) in used]
    return sorted(set(numbers).difference(*known))


def _digest(text: Text) -> bytes:
    """Return 16 bytes that two texts share only if they are equal, spaces and case aside."""
    pieces = [text] if isinstance(text, str) else text
    normal = "\0".join(" ".join(piece.split()).casefold() for piece in pieces)
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()
