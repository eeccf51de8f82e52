"""From texts to token ids: tokenising, and what happens to documents that are too long.

Nothing is cut or lost in silence: `LengthReport` says how many documents and tokens a policy
affected, and of how many documents the tokenizer knows nothing. A document becomes one window, or
with `policy="windows"` several, whose logits the model pools.
"""

from __future__ import annotations

import functools
import itertools
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tersely._io import Progress, counting
from tersely.errors import DataError

SELECTING = ("select", "select-sentence")
LONG_POLICIES = ("truncate", "head-tail", "windows", *SELECTING)


@dataclass(frozen=True)
class LengthReport:
    """How many documents exceeded the limit, and what became of their tokens.

    `tokens` are those of the documents in full, `unread` those that the model never sees, and
    `unknown` documents with text and no token that the tokenizer knows.
    """

    documents: int
    affected: int
    tokens: int
    unread: int
    policy: str
    max_length: int
    unknown: int = 0

    def __add__(self, other: LengthReport) -> LengthReport:
        """Return the report on both, read under the same policy."""
        counts = ("documents", "affected", "tokens", "unread", "unknown")
        sums = {name: getattr(self, name) + getattr(other, name) for name in counts}
        return replace(self, **sums)

    def sentences(self) -> list[str]:
        """Return what to warn of: documents that are too long, or that nothing is known of."""
        said = []
        if self.affected:
            share = f"{self.unread:,} of {self.tokens:,} tokens, {self.unread / self.tokens:.1%}"
            unit = "sentences" if self.policy == "select-sentence" else "tokens"
            read = f"{self.tokens - self.unread:,} of {self.tokens:,} tokens"
            telling = f"the {unit} that the linear stage scores highest are read, {read}"
            what = {
                "windows": "they are read in overlapping windows, nothing is cut",
                "truncate": f"their ends are not read ({share}); long='windows' reads all",
                "head-tail": f"their middles are not read ({share}); long='windows' reads all",
            }
            said.append(
                f"{self.affected:,} of {self.documents:,} documents are longer than "
                f"{self.max_length} tokens; {what.get(self.policy, telling)}"
            )
        if self.unknown:
            said.append(
                f"{self.unknown:,} of {self.documents:,} documents hold no character that the "
                "tokenizer knows; they are kept, and their labels are guesses"
            )
        return said


@dataclass(frozen=True)
class EncodedDocuments:
    """Documents as token ids: windows and token types are int32 `(length,)`, documents in order.

    `counts` are the windows of each document, `(documents,)` int64; `types` are None without pairs.
    """

    windows: list[np.ndarray]
    types: list[np.ndarray] | None
    counts: np.ndarray
    report: LengthReport

    def __len__(self) -> int:
        return len(self.counts)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """The first window of each document, `(documents,)` int64; made once for all batches."""
        return np.cumsum(self.counts, dtype=np.int64) - self.counts

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """Tokens of each document, all of its windows together, `(documents,)` int64."""
        lengths = np.array([len(window) for window in self.windows], dtype=np.int64)
        return np.add.reduceat(lengths, self.starts) if len(lengths) else lengths

    @property
    def tokens(self) -> int:
        """Tokens that a model will read."""
        return int(self.sizes.sum())

    def select(self, numbers: Sequence[int]) -> EncodedDocuments:
        """Return some of the documents, in the order of `numbers`; the report stays that of all."""
        spans = zip(self.starts[numbers], self.counts[numbers], strict=True)
        chosen = [start + window for start, count in spans for window in range(count)]
        return EncodedDocuments(
            [self.windows[i] for i in chosen],
            None if self.types is None else [self.types[i] for i in chosen],
            self.counts[numbers],
            self.report,
        )


def join_encoded(parts: Sequence[EncodedDocuments]) -> EncodedDocuments:
    """Return the documents of several parts, one or more, in their order.

    Where some have token types and others none, the others are of type 0 throughout.
    """
    types = None
    if any(part.types is not None for part in parts):
        kinds = (part.types or map(np.zeros_like, part.windows) for part in parts)
        types = list(itertools.chain.from_iterable(kinds))
    return EncodedDocuments(
        [window for part in parts for window in part.windows],
        types,
        np.concatenate([part.counts for part in parts]),
        functools.reduce(operator.add, (part.report for part in parts)),
    )


def longest_window(asked: int | None, most: int | None) -> int:
    """Return the tokens that a window may have: `asked` or 512, where the model takes so many."""
    return min(asked or 512, most or sys.maxsize)


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int,
    policy: str = "truncate",
    overlap: int = 64,
    values: Callable[[int, Sequence[int]], np.ndarray] | None = None,
    progress: Progress = None,
) -> EncodedDocuments:
    """Tokenise documents and apply the policy for long ones.

    `max_length` counts a window's special tokens too. Of the policies, "truncate" keeps the
    beginning; "head-tail" the first quarter and the end, as Sun et al. (arXiv 1905.05583) keep 128
    and 382 of 510; "windows" reads all of it. `overlap` is what neighbouring windows share: at
    most half of a window's room, so that a short limit does not make a window of every few tokens.
    "select" reads the best tokens by `values`, which a document's number and ids give, of equals
    the earlier ones, in their order: in linear time, however long a document is. Each stands at its
    rank among those that are read, since an encoder has no position for where it stood. For
    "select-sentence" the values are those of sentences.
    """
    if pairs is not None and policy != "truncate":
        raise DataError(
            f"the policy {policy} for long documents works on single texts, got text pairs; use "
            "truncate, which shortens the longer text of a pair"
        )
    if not texts:
        report = LengthReport(0, 0, 0, 0, policy, max_length)
        return EncodedDocuments([], None, np.zeros(0, dtype=np.int64), report)
    texts, pairs = list(texts), pairs and list(pairs)
    options = {"padding": False, "return_attention_mask": False, "verbose": False}
    options["return_token_type_ids"] = pairs is not None
    told, ids, types = counting(progress, "tokenising", len(texts)), [], []
    while (done := len(ids)) < len(texts):
        some = (each and each[done : done + 1000] for each in (texts, pairs))
        encoded = tokenizer(*some, truncation=False, **options)
        ids += encoded["input_ids"]
        types += encoded.get("token_type_ids", ())
        told(len(ids) - done)
    types = types or None
    lengths = np.array([len(document) for document in ids], dtype=np.int64)
    unknown = _count_unknown(tokenizer, texts, pairs, ids)
    long = np.flatnonzero(lengths > max_length)
    if pairs is not None and len(long):
        some = ([texts[i] for i in long], [pairs[i] for i in long])
        shorter = tokenizer(*some, truncation="longest_first", max_length=max_length, **options)
        for place, number in enumerate(long):
            ids[number] = shorter["input_ids"][place]
            if types is not None:
                types[number] = shorter["token_type_ids"][place]
    how, pieces = (count_specials(tokenizer), max_length, policy, overlap), []
    for number, document in enumerate(ids):
        worth = values(number, document) if policy in SELECTING else None
        pieces.append(cut_windows(np.asarray(document, dtype=np.int32), *how, worth))
    tokens = int(lengths.sum())
    read = tokens if policy == "windows" else int(np.minimum(lengths, max_length).sum())
    report = LengthReport(len(ids), len(long), tokens, tokens - read, policy, max_length, unknown)
    return EncodedDocuments(
        windows=[window for document in pieces for window in document],
        types=None if types is None else [np.asarray(kind, dtype=np.int32) for kind in types],
        counts=np.array([len(document) for document in pieces], dtype=np.int64),
        report=report,
    )


def _count_unknown(
    tokenizer: Any, texts: list[str], pairs: list[str] | None, ids: list[list[int]]
) -> int:
    """Count documents with text and without any token that stands for some of it."""
    silent = frozenset(tokenizer.all_special_ids)  # the unknown token is one of them
    # Nearly every document begins with a known word, so that two look-ups decide.
    return sum(
        bool(texts[number].strip() or (pairs and pairs[number].strip()))
        for number, document in enumerate(ids)
        if silent.issuperset(document[:2]) and silent.issuperset(document)
    )


def count_specials(tokenizer: Any) -> tuple[int, int]:
    """Return how many special tokens stand before and behind a text."""
    bare = tokenizer("", return_attention_mask=False)["input_ids"]
    # [CLS] in front, [SEP] behind: an empty text shows how many of each; the first half leads.
    before = (len(bare) + 1) // 2
    return before, len(bare) - before


def cut_windows(
    ids: np.ndarray,
    specials: tuple[int, int],
    max_length: int,
    policy: str,
    overlap: int,
    values: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return a document's windows; of one that is too long, each wrapped in the special tokens.

    What its tokens are worth, `values` `(tokens,)`, is for policies that select.
    """
    if len(ids) <= max_length:
        return [ids]
    before, behind = specials
    room = max_length - before - behind
    if room < 1:
        raise DataError(
            f"max_length must leave room for text beside {before + behind} special tokens, "
            f"got {max_length}"
        )
    front, text, back = np.split(ids, [before, len(ids) - behind])
    if policy == "truncate":
        parts = [text[:room]]
    elif policy == "head-tail":
        head = room // 4
        parts = [np.concatenate([text[:head], text[len(text) - (room - head) :]])]
    elif policy in SELECTING:
        parts = [text[best_places(values[before : len(ids) - behind], room)]]
    else:
        step = room - min(overlap, room // 2)
        starts = range(0, max(1, len(text) - room), step)
        # The last window ends where the document ends, so that none is a stump.
        parts = [text[start : start + room] for start in (*starts, len(text) - room)]
    return [np.concatenate([front, part, back]) for part in parts]


def best_places(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` largest values, ascending; of equals the earlier ones.

    Example:
        >>> best_places(np.array([1.0, 3.0, 1.0, 2.0]), 3)
        array([0, 1, 3])
    """
    limit = np.partition(values, len(values) - count)[len(values) - count]
    chosen = values > limit
    chosen[np.flatnonzero(values == limit)[: count - chosen.sum()]] = True
    return np.flatnonzero(chosen)
