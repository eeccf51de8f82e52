"""Attention patterns, as actions: which tokens of a document see one another in a block.

What a pattern knows of the words besides their place are columns of the stream (`token_columns`),
made where a document is embedded. They go where their tokens go, so that a pattern speaks of the
tokens that are still there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tersely.attention import Band, Connections
from tersely.errors import ModelError
from tersely.ragged import Layout
from tersely.reduction.actions import Action
from tersely.reduction.parts import Learned, flag
from tersely.reduction.stream import Stream

Pairs = Callable[[Tensor, Tensor], Tensor]

# Of the token ids of one document: for each token the number of its word, −1 for none, and for each
# word the number of the word that governs it, its own for none.
Parser = Callable[[Sequence[int]], tuple[Sequence[int], Sequence[int]]]

_BITS = 0x7FFFFFFF


@dataclass(frozen=True)
class Pattern(Action):
    """Thins the attention of a block, and removes no token.

    Neighbourhood is measured on original positions: a token's neighbours stay its neighbours when
    others leave. Every token sees itself, and tokens that a module added see and are seen by all.
    """

    acts = "attention"
    selects = False
    needs: ClassVar[frozenset[str]] = frozenset()  # columns, of those that `token_columns` makes

    cls: bool = flag(True)  # whether the first token ([CLS]) sees all and is seen by all

    def check_heads(self, heads: int) -> None:
        """Raise a `PlanError` if the pattern does not fit so many heads."""

    def pairs(self, stream: Stream) -> tuple[Pairs, Band | None]:
        """Return who sees whom, and the band that holds it; None if pairs may lie anywhere.

        The former is a function of row numbers, as `Connections.sees`. Pairs that all patterns
        share need not be among them.
        """
        raise TypeError(f"{type(self).__name__} must define pairs, which says who sees whom")

    def connect(self, stream: Stream, module: Learned | None = None) -> Connections:
        """Return the connections between a stream's tokens; `module` is what was learned."""
        places, (own, band) = stream.origins, self.pairs(stream)

        def sees(queries: Tensor, keys: Tensor) -> Tensor:
            q, k = places[queries], places[keys]
            seen = own(queries, keys) | (q == k) | (q < 0) | (k < 0)
            return seen | (q == 0) | (k == 0) if self.cls else seen

        if band is not None and self.cls:
            band = Band(band.reaches, max(1, band.first), band.exact)
        return Connections(sees, band)

    def share(self, module: Learned, lengths: Tensor) -> Tensor:
        """Return the share of pairs that is connected in documents of these lengths, learned."""
        raise TypeError(f"{type(self).__name__} must define share to be learned")

    def work(self, sizes: list[int], width: int) -> int:
        """Return the MACs of the products that find the pairs, for states of this width."""
        return 0


@dataclass
class Knowledge:
    """What token ids alone do not tell, given to a model in Python and not saved with it.

    `tersely.text.syntax` makes both.
    """

    parser: Parser | None = None
    stems: Tensor | None = None  # (vocabulary,) int64, the number of each word piece's stem


def token_columns(
    ids: Tensor, layout: Layout, embeddings: Tensor, knowledge: Knowledge, needs: Iterable[str]
) -> dict[str, Tensor]:
    """Look up what patterns need to know of tokens of these ids, `(tokens,)`.

    `embeddings` `(vocabulary, width)` are the encoder's. Columns are `"id"`; `"document"`, a number
    made of all ids of the token's document, the same in any batch; `"stem"`; `"vector"`, its word
    embedding, `(tokens, width)`; `"parse"`, the number of its word in its document and of the word
    that governs that one, −1 for none, `(tokens, 2)`.
    """
    columns: dict[str, Tensor] = {}
    for need in sorted(needs):
        if need == "id":
            columns[need] = ids
        elif need == "document":
            mixed = hashed(ids + 1_000_003 * layout.positions)
            sums = torch.zeros_like(layout.offsets[:-1]).index_add_(0, layout.segment_ids, mixed)
            columns[need] = hashed(sums)[layout.segment_ids]
        elif need == "vector":
            columns[need] = embeddings.detach()[ids]
        elif need == "stem":
            columns[need] = _given(knowledge, "stems").to(ids.device)[ids]
        else:
            parser = _given(knowledge, "parser")
            parsed = [_parsed(parser, part.tolist()) for part in ids.split(layout.sizes)]
            columns[need] = torch.cat(parsed).to(ids.device)
    return columns


def _given(knowledge: Knowledge, name: str) -> Parser | Tensor:
    if (found := getattr(knowledge, name)) is None:
        raise ModelError(
            f"the plan needs model.knowledge.{name}, which is not saved with a model, got None; "
            "make it with tersely.text.syntax, and set it or pass it as Classifier(knowledge=...)"
        )
    return found


def _parsed(parser: Parser, ids: list[int]) -> Tensor:
    words, heads = (torch.as_tensor(found, dtype=torch.int64) for found in parser(ids))
    count = len(heads)
    fits = len(words) == len(ids) and bool((words < count).all())
    if not fits or count and not bool(((heads >= 0) & (heads < count)).all()):
        most = [int(found.max()) if len(found) else None for found in (words, heads)]
        raise ModelError(
            f"the parser must return the number of its word for each of the {len(ids)} tokens (−1 "
            "for none), and for each word the number of the word that governs it, got "
            f"{len(words)} numbers of at most {most[0]}, and {count} of at most {most[1]}"
        )
    governed = heads[words.clamp(min=0)] if count else torch.full_like(words, -1)
    return torch.stack([words, torch.where(words < 0, -1, governed)], dim=1)


def hashed(numbers: Tensor, seed: int = 0) -> Tensor:
    """Return numbers from 0 to 2³¹ − 1 that look random, the same on every machine."""
    mixed = numbers & _BITS
    # Three rounds of multiply and shift on 31 bits, which int64 holds without overflow.
    for factor in (1_540_483_477, 1_779_033_703, 668_265_263):
        mixed = ((mixed + seed + 1) & _BITS) * factor & _BITS
        mixed = mixed ^ (mixed >> 15)
    return mixed
