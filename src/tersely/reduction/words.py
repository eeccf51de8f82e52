"""What a pattern may know of each token besides its place: its id, its word, what governs it.

The columns are made where a document is embedded and carried along as tokens leave, so that a
pattern speaks of the tokens that are still there. They exist only under a plan with patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tersely.errors import ModelError
from tersely.ragged import Layout

__all__ = ["Knowledge", "Words", "hashed", "words_of"]

# Of the token ids of one document: for each token the number of its word, −1 for none, and for each
# word the number of the word that governs it, its own for none.
Parser = Callable[[Sequence[int]], tuple[Sequence[int], Sequence[int]]]

_BITS = 0x7FFFFFFF


@dataclass
class Knowledge:
    """What token ids alone do not tell, given to a model in Python and not saved with it.

    Attributes:
        parser: the words and the heads of a document; see `tersely.text.syntax.DependencyParser`.
        stems: `(vocabulary,)` int64, the number of each word piece's stem; see
            `tersely.text.syntax.stem_table`.
    """

    parser: Parser | None = None
    stems: Tensor | None = None


@dataclass(frozen=True)
class Words:
    """The tokens of a row as a pattern sees them; −1 everywhere for a combination token.

    Attributes:
        ids: `(tokens,)` int64, token ids.
        documents: `(tokens,)` int64, a number made of all ids of the token's document, the same in
            any batch.
        words: `(tokens,)` int64, the number of the token's word in its document, −1 for none; None
            where no pattern asks for it.
        heads: `(tokens,)` int64, the number of the word that governs the token's word.
        table: `(vocabulary, width)`, the encoder's word embeddings.
        stems: `(vocabulary,)` int64, the number of each word piece's stem.
    """

    ids: Tensor
    documents: Tensor
    words: Tensor | None = None
    heads: Tensor | None = None
    table: Tensor | None = None
    stems: Tensor | None = None

    def _columns(self, change: Callable[[Tensor], Tensor]) -> Words:
        names = ("ids", "documents", "words", "heads")
        columns = {name: getattr(self, name) for name in names}
        return replace(self, **{n: change(c) for n, c in columns.items() if c is not None})

    def select(self, keep: Tensor) -> Words:
        """The tokens where `keep`, `(tokens,)` bool, is true."""
        return self._columns(lambda column: column[keep])

    def with_combination_tokens(self, layout: Layout, extra: int) -> Words:
        """Room for so many combination tokens at the end of each document of `layout`."""
        grown, places = layout.grow(extra)

        def change(column: Tensor) -> Tensor:
            return column.new_full((grown.tokens,), -1).index_copy_(0, places, column)

        return self._columns(change)


def words_of(
    ids: Tensor, layout: Layout, table: Tensor, knowledge: Knowledge, needs: frozenset[str]
) -> Words:
    """Look up what the patterns of a plan need.

    Args:
        ids: `(tokens,)` token ids.
        layout: the documents' boundaries.
        table: the encoder's word embeddings.
        knowledge: what was given to the model.
        needs: of `"parser"`, `"stems"`.

    Raises:
        ModelError: for something that a pattern needs and that was not given.
    """
    for name in sorted(needs):
        if getattr(knowledge, name) is None:
            raise ModelError(
                f"the plan has a pattern that needs model.knowledge.{name}, which is not saved "
                "with a model, got None; make one with tersely.text.syntax and set it, or give "
                "it to Classifier(knowledge=...)"
            )
    mixed = hashed(ids + 1_000_003 * layout.positions)
    sums = torch.zeros_like(layout.offsets[:-1]).index_add_(0, layout.segment_ids, mixed)
    words = Words(ids, hashed(sums)[layout.segment_ids], table=table.detach())
    if "stems" in needs:
        words = replace(words, stems=knowledge.stems.to(ids.device))
    if "parser" in needs:
        columns = [_parsed(knowledge.parser, part.tolist()) for part in ids.split(layout.sizes)]
        stacked = torch.cat(columns, dim=1).to(ids.device)
        words = replace(words, words=stacked[0], heads=stacked[1])
    return words


def _parsed(parser: Parser, ids: list[int]) -> Tensor:
    """The word and the governing word of each token, `(2, tokens)`."""
    words, heads = parser(ids)
    words = torch.as_tensor(words, dtype=torch.int64)
    heads = torch.as_tensor(heads, dtype=torch.int64)
    count = len(heads)
    fits = len(words) == len(ids) and bool((words < count).all())
    if not fits or count and not bool(((heads >= 0) & (heads < count)).all()):
        raise ModelError(
            f"the parser must give a word number for each of the {len(ids)} tokens (−1 for none) "
            f"and for each word the number of its head, got {len(words)} and {count} figures of "
            f"which some are out of range; the largest are {_most(words)} and {_most(heads)}"
        )
    governed = heads[words.clamp(min=0)] if count else torch.full_like(words, -1)
    return torch.stack([words, torch.where(words < 0, -1, governed)])


def _most(numbers: Tensor) -> int | None:
    return int(numbers.max()) if len(numbers) else None


def hashed(numbers: Tensor, seed: int = 0) -> Tensor:
    """Numbers from 0 to 2³¹ − 1 that look random, the same on every machine."""
    mixed = numbers & _BITS
    # Three rounds of multiply and shift on 31 bits, which int64 holds without overflow.
    for factor in (1_540_483_477, 1_779_033_703, 668_265_263):
        mixed = ((mixed + seed + 1) & _BITS) * factor & _BITS
        mixed = mixed ^ (mixed >> 15)
    return mixed
