"""What patterns by syntax and by stems need to know, made from a tokenizer and another library.

Token ids are all that a model gets, so the words are put together again from their pieces. A parser
is any function of words. Nothing of this is saved with a model.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tersely.errors import require

Heads = Callable[[list[str]], Sequence[int]]

# How many documents' parses are kept: every forward pass of an epoch asks for them again.
_KEPT = 100_000


class DependencyParser:
    """Parse token ids to words and their heads, by a parser of the user's choice.

    `heads` takes the words of a document, and gives for each the number of the word that governs
    it, its own number for a root.
    """

    def __init__(self, tokenizer: Any, heads: Heads) -> None:
        self.tokenizer, self.heads = tokenizer, heads
        self._parse = lru_cache(maxsize=_KEPT)(self._parse_once)

    def __call__(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the number of each token's word (−1: special tokens) and of each word's head."""
        return self._parse(tuple(ids))

    def _parse_once(self, ids: tuple[int, ...]) -> tuple[list[int], list[int]]:
        numbers = word_numbers(self.tokenizer, ids)
        pieces: list[list[int]] = [[] for _ in range(max(numbers, default=-1) + 1)]
        for number, token in zip(numbers, ids, strict=True):
            if number >= 0:
                pieces[number].append(token)
        words = [self.tokenizer.decode(own).strip() or "_" for own in pieces]
        return numbers, [int(head) for head in self.heads(words)] if words else []


def word_numbers(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Return the number of the word that each token is a piece of, −1 for special tokens.

    A piece goes on with a word where WordPiece writes `##`, and where byte-level and SentencePiece
    vocabularies do not write the sign of a blank.
    """
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    blanks = any(token.startswith(("Ġ", "▁")) for token in tokens)
    numbers: list[int] = []
    last, within = -1, False
    for number, token in zip(ids, tokens, strict=True):
        goes_on = not token.startswith(("Ġ", "▁")) if blanks else token.startswith("##")
        is_text = number not in special
        last += is_text and not (within and goes_on)
        numbers.append(last if is_text else -1)
        within = is_text
    return numbers


def stem_table(tokenizer: Any, language: str = "english") -> Tensor:
    """Return the number of the stem of each word piece, `(vocabulary,)` int64, by Snowball.

    Pieces that differ in capitals only, and `running` and `runs`, get one number; a piece that goes
    on with a word is stemmed as if it were a word.
    """
    stemmer = require("snowballstemmer", "syntax").stemmer(language)
    special = set(tokenizer.all_special_ids)
    names: dict[str, int] = {}
    numbers = []
    for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        stem = token = str(token)
        if number not in special:
            mark = "##" if token.startswith("##") else ""
            stem = mark + stemmer.stemWord(token.removeprefix("##").lstrip("Ġ▁").lower())
        numbers.append(names.setdefault(stem, len(names)))
    return torch.tensor(numbers)
