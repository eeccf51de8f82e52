"""Words of the original text from a tokenizer's pieces, with what was read of it and what was not.

Pieces are put back at their places in the text, so that what is shown is the user's text with its
spaces and capitals, whatever the tokenizer made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.classifier import Classifier
from tersely.text.encoding import positions_read

__all__ = ["Spelling", "Word", "spell"]


@dataclass(frozen=True)
class Word:
    """A word of the text.

    Attributes:
        part: 0 for the text, 1 for the second one of a pair.
        start: its first character.
        stop: one behind its last character.
        tokens: the tokens that it became, numbered over all of the document in full.
    """

    part: int
    start: int
    stop: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Spelling:
    """A document's words, and which of its tokens each window reads.

    Attributes:
        words: the words in order.
        pieces: every token of the document in full, as the tokenizer spells it.
        special: the tokens that stand for no text, such as [CLS].
        windows: the tokens that each window holds, `(length_i,)` int64.
    """

    words: tuple[Word, ...]
    pieces: tuple[str, ...]
    special: tuple[int, ...]
    windows: tuple[np.ndarray, ...]

    @property
    def read(self) -> np.ndarray:
        """Whether the model reads each token, `(tokens,)` bool."""
        seen = np.zeros(len(self.pieces), dtype=bool)
        for window in self.windows:
            seen[window] = True
        return seen


def spell(classifier: Classifier, text: str, pair: str | None = None) -> Spelling:
    """Find the words of a document and what the classifier reads of them."""
    tokenizer, config = classifier.tokenizer, classifier.model_config
    texts = (text,) if pair is None else (text, pair)
    options = {"return_offsets_mapping": True, "return_attention_mask": False, "verbose": False}
    encoding = tokenizer(*texts, truncation=False, **options).encodings[0]
    length = len(encoding.ids)
    if pair is not None and length > classifier.limit:
        cut = tokenizer(
            *texts, truncation="longest_first", max_length=classifier.limit, **options
        ).encodings[0]
        windows = [_same_tokens(encoding, cut)]
    else:
        windows = positions_read(
            tokenizer,
            length,
            max_length=classifier.limit,
            policy=config.long,
            overlap=config.window_overlap,
        )
    words, special = _words(encoding, texts)
    return Spelling(words, tuple(encoding.tokens), special, tuple(windows))


def _same_tokens(whole: Any, cut: Any) -> np.ndarray:
    """The tokens of a pair that is left whole which one that was shortened at its ends holds."""
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
        start, stop = _bare(texts[part], max(start, ends[part]), stop)
        # A piece of the same word, or one of a character that an earlier piece holds already.
        held = start >= stop and bool(words) and words[-1].part == part
        if last == (part, number) or held:
            word = words[-1]
            whole = Word(part, word.start, max(word.stop, stop), (*word.tokens, token))
            words[-1] = whole
        else:
            words.append(Word(part, start, max(start, stop), (token,)))
        ends[part] = words[-1].stop
        last = (part, number)
    return tuple(words), tuple(special)


def _bare(text: str, start: int, stop: int) -> tuple[int, int]:
    """The span without spaces at its ends, which some tokenizers count to the word."""
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop
