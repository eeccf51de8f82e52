"""What became of each token, and the words of the text that tokens belong to.

A token is seen by a block where it is a key and a value of that block's attention. That reads the
same for methods that drop tokens and for those that drop keys alone: for both, the first block that
no longer sees a token is the one after it was dropped. Where each head drops keys of its own, a
token counts by the share of the heads that still see it: nearly every token stays in some head.

    block        0    1    2    3
    [CLS]        1    1    1    1     reached 4
    cat          1    1    0.5  0.5   reached 3: half of the heads dropped it after block 1
    the          1    1    0    0     reached 2
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from tersely.classifier import Classifier
from tersely.modeling import Trace
from tersely.ragged import Ragged
from tersely.text.encoding import SELECTING, count_specials, cut_windows

DIGITS = 6  # what float32 can hold of a score; more would be noise


@dataclass(frozen=True)
class TokenLineage:
    """What became of a token; tuples are block by block, and of heads it is the mean.

    A key that was dropped never returns, so the sum of the shares is how far a token got. Of a
    combining block it is the share that it came with.
    """

    piece: str
    read: bool
    reached: float = 0.0  # how many blocks saw it, in the window where it got furthest
    keys: tuple[float, ...] = ()  # share of the heads in which it was a key
    present: tuple[bool, ...] = ()  # whether it entered
    scores: tuple[float | None, ...] = ()  # of mean 1 in the document
    group: int | None = None  # the combination token that took it in
    merged_at: int | None = None  # the block that did, counted from 1 among those that ran
    merged_into: int | None = None  # the token of the document in full
    worth: float | None = None  # to the choice before the first block, of mean 1 in the document
    contribution: float | None = None  # to the linear stage's log-odds, where that answered


def lineage(
    trace: Trace, number: int, window: np.ndarray, pieces: Sequence[str]
) -> list[TokenLineage]:
    """Return what became of every token of a window, the given one of a batch's full trace.

    `window` are its tokens' numbers in the document `(length,)`, and `pieces` the document's.
    """
    shape = (len(trace.blocks), len(window))
    keys, present = np.zeros(shape, np.float32), np.zeros(shape, bool)
    scores = np.full(shape, np.nan, np.float32)
    groups: dict[int, int] = {}
    merged: dict[int, dict[str, int]] = {}
    entering, chosen = _part(trace.entered, number), trace.importance
    worth = [None] * len(window) if chosen is None else _part(chosen, number).mean(axis=1)
    shares = np.ones(len(entering), np.float32)
    for place, block in enumerate(trace.blocks):
        own = entering >= 0  # combination tokens have no place in the document
        tokens = entering[own]
        present[place, tokens] = True
        keys[place, tokens] = shares[own]
        if block.importance is not None:
            found = _part(block.importance, number).mean(axis=1)[own]
            scores[place, tokens] = np.where(shares[own] > 0, found, np.nan)
        leaving = _part(block.alive, number)
        if block.groups is not None and block.kind == "combine":
            groups |= zip(tokens.tolist(), _part(block.groups, number).tolist(), strict=True)
        elif block.groups is not None:
            start = int(block.alive.layout.offsets[number])
            leader = leaving[_part(block.groups, number) - start][own]
            for token, other in zip(tokens.tolist(), leader.tolist(), strict=True):
                if token != other:
                    merged[token] = {"merged_at": place + 1, "merged_into": int(window[other])}
        shares = np.ones(len(leaving), np.float32)
        if block.alive_keys is not None:  # each head may have keys of its own
            mask = _part(block.alive, number, block.alive_keys)
            shares = mask.reshape(len(leaving), -1).mean(axis=1, dtype=np.float32)
        entering = leaving
    return [
        TokenLineage(
            piece=pieces[token],
            read=True,
            reached=short(keys[:, place].sum()),
            keys=tuple(map(short, keys[:, place])),
            present=tuple(present[:, place].tolist()),
            scores=tuple(None if np.isnan(score) else short(score) for score in scores[:, place]),
            group=groups.get(place),
            worth=None if chosen is None else short(worth[place]),
            **merged.get(place, {}),
        )
        for place, token in enumerate(window.tolist())
    ]


def short(value: float) -> float:
    """Return a figure in the digits that it has."""
    return round(float(value), DIGITS)


def _part(ragged: Ragged, number: int, values: Tensor | None = None) -> np.ndarray:
    """Return one document's rows of a ragged tensor, or of `values` that lie like it."""
    start, stop = ragged.layout.offsets[number : number + 2].tolist()
    part = (ragged.values if values is None else values)[start:stop].detach()
    return (part.float() if part.is_floating_point() else part).cpu().numpy()


Word = tuple[int, int, int, tuple[int, ...]]
"""Part (1: the second one of a pair), first character, one behind the last, and its tokens."""


@dataclass(frozen=True)
class Spelling:
    """A document's words, and which of its tokens each window reads.

    Tokens are numbered over all of the document in full; `pieces` are as the tokenizer spells them,
    `special` ones stand for no text, `windows` hold the tokens of each, `(length_i,)` int64.
    """

    words: tuple[Word, ...]
    pieces: tuple[str, ...]
    special: tuple[int, ...]
    windows: tuple[np.ndarray, ...]

    @property
    def read(self) -> np.ndarray:
        """Whether the model reads each token, `(tokens,)` bool."""
        seen = np.zeros(len(self.pieces), dtype=bool)
        seen[np.concatenate(self.windows)] = True
        return seen


def spell(classifier: Classifier, text: str, pair: str | None = None) -> Spelling:
    """Find the words of a document, at their places in the user's text, and what is read."""
    tokenizer, config = classifier.tokenizer, classifier.model_config
    texts = (text,) if pair is None else (text, pair)
    options = {"return_offsets_mapping": True, "return_attention_mask": False, "verbose": False}
    encoding = tokenizer(*texts, truncation=False, **options).encodings[0]
    length, limit = len(encoding.ids), classifier.limit
    if pair is not None and length > limit:
        options |= {"truncation": "longest_first", "max_length": limit}
        windows = [_same_tokens(encoding, tokenizer(*texts, **options).encodings[0])]
    else:
        policy = limit, config.long, config.window_overlap
        values = classifier.token_values(encoding.ids) if config.long in SELECTING else None
        windows = cut_windows(np.arange(length), count_specials(tokenizer), *policy, values)
    words, special = _words(encoding, texts)
    return Spelling(words, tuple(encoding.tokens), special, tuple(windows))


def _same_tokens(whole: Any, cut: Any) -> np.ndarray:
    """Return which tokens of a whole pair one that was shortened at its ends still holds."""
    places: dict[int | None, list[int]] = {}
    for place, part in enumerate(whole.sequence_ids):
        places.setdefault(part, []).append(place)
    streams = {part: iter(found) for part, found in places.items()}
    return np.array([next(streams[part]) for part in cut.sequence_ids])


def _words(encoding: Any, texts: tuple[str, ...]) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    words: list[Word] = []
    special = []
    ends = [0] * len(texts)
    last: tuple[int, int] | None = None
    pieces = zip(encoding.sequence_ids, encoding.word_ids, encoding.offsets, strict=True)
    for token, (part, number, (start, stop)) in enumerate(pieces):
        if part is None or number is None:
            special.append(token)
            last = None
            continue
        # Without spaces at its ends, which some tokenizers count to the word.
        start = min(max(start, ends[part]), max(start, stop))
        bare = texts[part][start:stop].strip()
        start += len(texts[part][start:stop]) - len(texts[part][start:stop].lstrip())
        stop = start + len(bare)
        # A piece of the same word, or one of a character that an earlier piece holds already.
        held = not bare and bool(words) and words[-1][0] == part
        if last == (part, number) or held:
            _, first, before, tokens = words[-1]
            words[-1] = (part, first, max(before, stop), (*tokens, token))
        else:
            words.append((part, start, stop, (token,)))
        ends[part] = words[-1][2]
        last = (part, number)
    return tuple(words), tuple(special)
