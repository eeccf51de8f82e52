"""From texts to token ids: tokenising, and what happens to documents that are too long.

Nothing is cut in silence: the lengths in full are kept, and `LengthReport` says how many documents
and tokens a policy affected. A document becomes one window, or with `long="windows"` several, whose
logits the model pools.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.errors import DataError
from tersely.modeling.configuration import LONG_POLICIES

__all__ = ["EncodedDocuments", "LengthReport", "encode", "join_encoded", "places_read"]


@dataclass(frozen=True)
class LengthReport:
    """How many documents exceeded the limit, and what became of their tokens.

    Attributes:
        documents: all documents.
        affected: those longer than `max_length`.
        tokens: tokens of all documents in full.
        unread: tokens that the model never sees.
        policy: `"truncate"`, `"head-tail"` or `"windows"`.
        max_length: tokens of a document or a window.
    """

    documents: int
    affected: int
    tokens: int
    unread: int
    policy: str
    max_length: int

    def __add__(self, other: LengthReport) -> LengthReport:
        """The report on both, read under the same policy."""
        return LengthReport(
            self.documents + other.documents,
            self.affected + other.affected,
            self.tokens + other.tokens,
            self.unread + other.unread,
            self.policy,
            self.max_length,
        )

    def sentence(self) -> str | None:
        """One sentence for the user, None when nothing was too long."""
        if not self.affected:
            return None
        share = f"{self.affected:,} of {self.documents:,} documents are longer than "
        share += f"{self.max_length} tokens"
        if self.policy == "windows":
            return f"{share}; they are read in overlapping windows, nothing is cut"
        what = "their ends" if self.policy == "truncate" else "their middles"
        return (
            f"{share}; {what} are not read ({self.unread:,} of {self.tokens:,} tokens, "
            f"{self.unread / self.tokens:.1%}); --long windows would read all"
        )


@dataclass(frozen=True)
class EncodedDocuments:
    """Documents as token ids.

    Attributes:
        windows: the ids of each window, int32 `(length,)`, documents in order.
        types: the token types of each window, None where there are no pairs.
        counts: windows of each document, `(documents,)` int64.
        report: what the length policy did.
    """

    windows: list[np.ndarray]
    types: list[np.ndarray] | None
    counts: np.ndarray
    report: LengthReport

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def starts(self) -> np.ndarray:
        """The first window of each document, `(documents,)`."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each document, all of its windows together, `(documents,)`."""
        lengths = np.array([len(window) for window in self.windows], dtype=np.int64)
        return np.add.reduceat(lengths, self.starts) if len(lengths) else lengths

    @property
    def tokens(self) -> int:
        """Tokens that a model will read."""
        return int(self.sizes.sum())

    def select(self, numbers: Sequence[int]) -> EncodedDocuments:
        """Some of the documents, in the order of `numbers`; the report stays that of all."""
        parts = [
            range(start, start + count)
            for start, count in zip(self.starts[numbers], self.counts[numbers], strict=True)
        ]
        chosen = [window for part in parts for window in part]
        types = None if self.types is None else [self.types[i] for i in chosen]
        counts = self.counts[numbers]
        return EncodedDocuments([self.windows[i] for i in chosen], types, counts, self.report)


def join_encoded(parts: Sequence[EncodedDocuments]) -> EncodedDocuments:
    """The documents of several parts, one or more, in their order.

    Where some have token types and others none, the others are of type 0 throughout.
    """
    windows = [window for part in parts for window in part.windows]
    types = None
    if any(part.types is not None for part in parts):
        types = [
            kind
            for part in parts
            for kind in (part.types or [np.zeros_like(window) for window in part.windows])
        ]
    counts = np.concatenate([part.counts for part in parts])
    report = functools.reduce(operator.add, (part.report for part in parts))
    return EncodedDocuments(windows, types, counts, report)


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int,
    policy: str = "truncate",
    overlap: int = 64,
) -> EncodedDocuments:
    """Tokenise documents and apply the policy for long ones.

    Args:
        tokenizer: a fast tokenizer of transformers.
        texts: the documents.
        pairs: the second texts of text pairs.
        max_length: most tokens of a window, special tokens included.
        policy: `"truncate"` keeps the beginning; `"head-tail"` the first quarter and the end, as
            Sun et al. (arXiv 1905.05583) keep 128 and 382 of 510; `"windows"` reads all of it.
        overlap: tokens that neighbouring windows share; at most half of a window's room for text,
            so that a short limit does not make a window of every few tokens.

    Raises:
        DataError: for an unknown policy, pairs with a policy other than `"truncate"`, or a limit
            too small.
    """
    if policy not in LONG_POLICIES:
        raise DataError(
            f"the policy for long documents must be one of {', '.join(LONG_POLICIES)}, got "
            f"{policy!r}"
        )
    if pairs is not None and policy != "truncate":
        raise DataError(
            f"--long {policy} works on single texts, got text pairs; use --long truncate, which "
            "shortens the longer text of a pair"
        )
    if not texts:
        report = LengthReport(0, 0, 0, 0, policy, max_length)
        return EncodedDocuments([], None, np.zeros(0, dtype=np.int64), report)
    ids, types, specials = _tokenise(tokenizer, texts, pairs)
    lengths = np.array([len(document) for document in ids], dtype=np.int64)
    long = np.flatnonzero(lengths > max_length)
    counts = np.ones(len(ids), dtype=np.int64)
    pieces: list[list[np.ndarray]] = [[document] for document in ids]
    if pairs is not None and len(long):
        _truncate_pairs(tokenizer, texts, pairs, long, max_length, pieces, types)
    elif len(long):
        for number in long:
            pieces[number] = _shorten(ids[number], specials, max_length, policy, overlap)
            counts[number] = len(pieces[number])
    windows = [window for document in pieces for window in document]
    read = lengths.copy()
    if policy != "windows":
        read[long] = max_length
    report = LengthReport(
        documents=len(ids),
        affected=len(long),
        tokens=int(lengths.sum()),
        unread=int((lengths - read).sum()),
        policy=policy,
        max_length=max_length,
    )
    return EncodedDocuments(windows, types, counts, report)


def places_read(
    tokenizer: Any, length: int, *, max_length: int, policy: str, overlap: int
) -> list[np.ndarray]:
    """Which of a single text's tokens each of its windows holds, `(length_i,)` int64 a window.

    Args:
        tokenizer: the tokenizer that read it.
        length: tokens of the text in full, special tokens included.
        max_length: as for `encode`.
        policy: as for `encode`.
        overlap: as for `encode`.
    """
    places = np.arange(length)
    if length <= max_length:
        return [places]
    return _shorten(places, _count_specials(tokenizer), max_length, policy, overlap)


def _count_specials(tokenizer: Any) -> tuple[int, int]:
    """Special tokens before and behind a text."""
    bare = tokenizer("", return_attention_mask=False)["input_ids"]
    # [CLS] in front, [SEP] behind: an empty text shows how many of each; the first half leads.
    before = (len(bare) + 1) // 2
    return before, len(bare) - before


def _tokenise(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None
) -> tuple[list[np.ndarray], list[np.ndarray] | None, tuple[int, int]]:
    encoded = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=pairs is not None,
        verbose=False,
    )
    ids = [np.asarray(document, dtype=np.int32) for document in encoded["input_ids"]]
    types = None
    if pairs is not None and "token_type_ids" in encoded:
        types = [np.asarray(document, dtype=np.int32) for document in encoded["token_type_ids"]]
    return ids, types, _count_specials(tokenizer)


def _truncate_pairs(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str],
    long: np.ndarray,
    max_length: int,
    pieces: list[list[np.ndarray]],
    types: list[np.ndarray] | None,
) -> None:
    """Shorten the longer text of each long pair, as the tokenizer does it."""
    shortened = tokenizer(
        [texts[number] for number in long],
        [pairs[number] for number in long],
        truncation="longest_first",
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=types is not None,
    )
    for place, number in enumerate(long):
        pieces[number] = [np.asarray(shortened["input_ids"][place], dtype=np.int32)]
        if types is not None:
            types[number] = np.asarray(shortened["token_type_ids"][place], dtype=np.int32)


def _shorten(
    ids: np.ndarray, specials: tuple[int, int], max_length: int, policy: str, overlap: int
) -> list[np.ndarray]:
    """The windows of a document that is too long; each is wrapped in the special tokens."""
    before, behind = specials
    room = max_length - before - behind
    if room < 1:
        raise DataError(
            f"max_length must leave room for text beside {before + behind} special tokens, "
            f"got {max_length}"
        )
    front, back = ids[:before], ids[len(ids) - behind :]
    text = ids[before : len(ids) - behind]
    if policy == "truncate":
        parts = [text[:room]]
    elif policy == "head-tail":
        head = room // 4
        parts = [np.concatenate([text[:head], text[len(text) - (room - head) :]])]
    else:
        step = room - min(overlap, room // 2)
        starts = list(range(0, max(1, len(text) - room), step))
        # The last window ends where the document ends, so that none is a stump.
        parts = [text[s : s + room] for s in [*starts, len(text) - room]]
    return [np.concatenate([front, part, back]) for part in parts]
