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
        self.tokenizer, self.heads, self.marks = tokenizer, heads, piece_marks(tokenizer)
        self._parse = lru_cache(maxsize=_KEPT)(self._parse_once)

    def __call__(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the number of each token's word (−1: special tokens) and of each word's head."""
        return self._parse(tuple(ids))

    def _parse_once(self, ids: tuple[int, ...]) -> tuple[list[int], list[int]]:
        numbers = word_numbers(self.marks, ids)
        pieces: list[list[int]] = [[] for _ in range(max(numbers, default=-1) + 1)]
        for number, token in zip(numbers, ids, strict=True):
            if number >= 0:
                pieces[number].append(token)
        words = [self.tokenizer.decode(own).strip() or "_" for own in pieces]
        return numbers, [int(head) for head in self.heads(words)] if words else []


GOES_ON, ENDS_SENTENCE, ALONE = 1, 2, 3
"""Marks of pieces: a word goes on with it, a sentence ends with it, it belongs to no text; or 0."""


def piece_marks(tokenizer: Any) -> Tensor:
    """Return how each piece makes words and sentences, `(vocabulary,)` uint8.

    A word goes on with what WordPiece writes with `##`, and byte-level and SentencePiece
    vocabularies without the sign of a blank, if it is no punctuation. A sentence ends with each
    full stop, in an abbreviation or a number too: ids don't tell.
    """
    tokens = list(map(str, tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))))
    blanks = any(token.startswith(("Ġ", "▁")) for token in tokens)
    marks = torch.zeros(len(tokens), dtype=torch.uint8)
    for number, token in enumerate(tokens):
        bare = token.removeprefix("##").lstrip("Ġ▁")
        if bare and not bare.strip(".!?…。！？"):
            marks[number] = ENDS_SENTENCE
        elif bare[:1].isalnum() and (token == bare if blanks else token.startswith("##")):
            marks[number] = GOES_ON
    marks[list(tokenizer.all_special_ids)] = ALONE
    return marks


def word_numbers(marks: Tensor, ids: Sequence[int]) -> list[int]:
    """Return the number of the word that each token is a piece of, −1 for special tokens."""
    numbers, last, before = [], -1, ALONE
    for mark in marks[list(ids)].tolist():
        last += mark != ALONE and (mark != GOES_ON or before == ALONE)
        numbers.append(-1 if mark == ALONE else last)
        before = mark
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
