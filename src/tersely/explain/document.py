"""What happened to one document: its words, how far each got, and what was decided.

A token that leaves in the last block has been seen by all of them, and is no part of what the head
reads. An explanation is of what was computed, not of why: a word that got far was read by more
blocks, and its score is what the plan chose by; neither says that the label would change without
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely._io import torch_threads
from tersely.classifier import Classifier
from tersely.explain.fates import NO_GROUP, WindowFate, window_fates
from tersely.explain.words import Spelling, Word, spell
from tersely.modeling.trace import BlockTrace
from tersely.text.batching import pack

__all__ = [
    "BlockFigures",
    "Explanation",
    "TokenFate",
    "WordFate",
    "block_figures",
    "explain_document",
    "name_of",
]

_DIGITS = 6  # what float32 can hold of a score; more would be noise


@dataclass(frozen=True)
class TokenFate:
    """What became of a token.

    Attributes:
        piece: as the tokenizer spells it.
        read: whether the model read it at all.
        reached: how many blocks saw it, the mean of the heads, in the window where it got furthest;
            0 for none.
        keys: share of the heads in which it was a key, block by block.
        present: whether it entered each block.
        scores: what each block scored it with, None where it had no score; mean 1 in the document.
        group: the combination token that took it in, or None.
        merged_at: the block that merged it into another token, as its number in `Explanation`'s
            blocks counted from 1, or None.
        merged_into: the token of the document in full that it was merged into, or None.
    """

    piece: str
    read: bool
    reached: float = 0.0
    keys: tuple[float, ...] = ()
    present: tuple[bool, ...] = ()
    scores: tuple[float | None, ...] = ()
    group: int | None = None
    merged_at: int | None = None
    merged_into: int | None = None


@dataclass(frozen=True)
class WordFate:
    """A word and its tokens.

    Attributes:
        text: the word as it stands in the document.
        part: 0 for the text, 1 for the second one of a pair.
        start: its first character in the text.
        stop: one behind its last.
        tokens: its tokens.
        places: the tokens' numbers in the document in full.
    """

    text: str
    part: int
    start: int
    stop: int
    tokens: tuple[TokenFate, ...]
    places: tuple[int, ...]

    @property
    def read(self) -> bool:
        """Whether the model read any of it."""
        return any(token.read for token in self.tokens)

    @property
    def reached(self) -> float:
        """How many blocks saw it, the mean of the heads: as many as of its best token."""
        return max(token.reached for token in self.tokens)

    @property
    def furthest(self) -> TokenFate:
        """The first of its tokens that got as far as any."""
        return max(self.tokens, key=lambda token: token.reached)

    def keys(self, block: int) -> float:
        """The share of heads in which it was a key of a block, counted from 0; its best token's."""
        return max((token.keys[block] for token in self.tokens if token.read), default=0.0)

    def score(self, block: int) -> float | None:
        """Its score in a block, counted from 0; its best token's, None where none had one."""
        found = [token.scores[block] for token in self.tokens if token.read]
        return max((score for score in found if score is not None), default=None)


@dataclass(frozen=True)
class BlockFigures:
    """What one block worked on.

    Attributes:
        layer: the encoder's number of the block, from 0.
        kind: `"block"`, or `"combine"` where combination tokens take all others in.
        entered: tokens that entered, combination tokens included.
        keys: keys that each query attended to.
        left: tokens that went through the feed-forward.
    """

    layer: int
    kind: str
    entered: float
    keys: float
    left: float


@dataclass(frozen=True)
class Explanation:
    """What a model did with a document.

    Attributes:
        model: the model's name.
        method: its plan's name.
        texts: the text, or both of a pair.
        words: the words in order.
        special: the tokens that stand for no text, such as [CLS].
        blocks: one entry for each block that ran; the tokens of all windows together.
        labels: each label's probability, in the model's order; of a regression its number.
        decided: the label, the labels, or the number that was decided for.
        problem_type: as in transformers.
        tokens: tokens of the document in full.
        unread: tokens that were never read.
        windows: how many windows the document was read in.
        limit: most tokens of a document or window.
        removes: whether the plan takes any token away from any block.
    """

    model: str
    method: str
    texts: tuple[str, ...]
    words: tuple[WordFate, ...]
    special: tuple[TokenFate, ...]
    blocks: tuple[BlockFigures, ...]
    labels: dict[str, float]
    decided: Any
    problem_type: str
    tokens: int
    unread: int
    windows: int
    limit: int
    removes: bool

    @property
    def combined_at(self) -> int | None:
        """The place in `blocks` of the combining block, or None."""
        kinds = [block.kind for block in self.blocks]
        return kinds.index("combine") if "combine" in kinds else None

    @property
    def reading(self) -> int:
        """How many blocks can see a token of the document: those up to a combining one."""
        return len(self.blocks) if self.combined_at is None else self.combined_at + 1

    def word_of(self, token: int) -> int | None:
        """The number of the word that holds a token of the document, None for a special token."""
        holders = (number for number, word in enumerate(self.words) if token in word.places)
        return next(holders, None)

    def about_length(self) -> str | None:
        """A sentence on what was never read, or on the windows; None where all was read at once."""
        if self.windows > 1:
            return (
                f"longer than {self.limit} tokens: read in {self.windows} overlapping windows; "
                "a word is shown as in the window where it got furthest"
            )
        if not self.unread:
            return None
        return (
            f"longer than {self.limit} tokens: {self.unread:,} of {self.tokens:,} tokens "
            f"({self.unread / self.tokens:.0%}) were never read"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        record = asdict(self)
        for word, source in zip(record["words"], self.words, strict=True):
            word["read"], word["reached"] = source.read, source.reached
        return record


def explain_document(
    classifier: Classifier, text: str, pair: str | None = None, *, name: str | None = None
) -> Explanation:
    """Run a classifier over one document and say what it did.

    Args:
        classifier: a trained one, of any method.
        text: the document.
        pair: the second text of a pair.
        name: what to call the model; None for the name of its directory or repository.

    Raises:
        DataError: if the document is no text.
        ModelError: if the classifier is an export, which shows nothing of its blocks.

    Example:
        >>> from tersely.explain import explain_document
        >>> explain_document(classifier, "a text").words[0].reached  # doctest: +SKIP
        4
    """
    model = classifier.torch_model()
    encoded = classifier.encode([text], None if pair is None else [pair])
    spelling = spell(classifier, text, pair)
    inputs = {name: value.to(model.device) for name, value in pack(encoded, [0]).items()}
    with torch.inference_mode(), torch_threads(classifier.execution.threads):
        output = model(**inputs, output_trace=True)
    fates = window_fates(output.trace, [len(window) for window in encoded.windows])
    logits = output.logits.float().cpu().numpy()
    texts = (text,) if pair is None else (text, pair)
    tokens = _tokens(spelling, fates)
    return Explanation(
        model=name or name_of(classifier),
        method=classifier.plan.name,
        texts=texts,
        words=tuple(_word(texts[word.part], word, tokens) for word in spelling.words),
        special=tuple(tokens[place] for place in spelling.special),
        blocks=block_figures(output.trace.blocks, 1),
        labels=_labels(classifier, logits),
        decided=classifier.decide(logits)[0],
        problem_type=classifier.label_space.problem_type,
        tokens=len(tokens),
        unread=int((~spelling.read).sum()),
        windows=len(encoded.windows),
        limit=classifier.limit,
        removes=any(fate.combined_at is not None or (fate.keys < 1).any() for fate in fates),
    )


def name_of(classifier: Classifier) -> str:
    """The name of the directory or the repository that a classifier came from."""
    return Path(classifier.source).name


def block_figures(layers: Sequence[BlockTrace], documents: int) -> tuple[BlockFigures, ...]:
    """What each block worked on, the mean of so many documents."""
    return tuple(
        BlockFigures(
            layer=layer.block,
            kind=layer.kind,
            entered=sum(layer.queries) / documents,
            keys=sum(layer.keys) / documents,
            left=sum(layer.transformed) / documents,
        )
        for layer in layers
    )


def _word(text: str, word: Word, tokens: list[TokenFate]) -> WordFate:
    own = tuple(tokens[place] for place in word.tokens)
    spelt = text[word.start : word.stop]
    return WordFate(spelt, word.part, word.start, word.stop, own, word.tokens)


def _tokens(spelling: Spelling, fates: list[WindowFate]) -> list[TokenFate]:
    """Every token of the document in full; one in several windows as where it got furthest."""
    tokens = [TokenFate(piece, read=False) for piece in spelling.pieces]
    for window, fate in zip(spelling.windows, fates, strict=True):
        reached = fate.reached
        for place, token in enumerate(window.tolist()):
            known = tokens[token]
            if not known.read or reached[place] > known.reached:
                piece, blocks = spelling.pieces[token], _short(reached[place])
                tokens[token] = _token(piece, blocks, fate, place, window)
    return tokens


def _token(
    piece: str, reached: float, fate: WindowFate, place: int, window: np.ndarray
) -> TokenFate:
    merged = fate.merged_into[place]
    group = fate.group[place]
    return TokenFate(
        piece=piece,
        read=True,
        reached=reached,
        keys=tuple(_short(value) for value in fate.keys[:, place]),
        present=tuple(fate.present[:, place].tolist()),
        scores=tuple(None if np.isnan(s) else _short(s) for s in fate.scores[:, place]),
        group=None if group == NO_GROUP else int(group),
        merged_at=None if merged == NO_GROUP else int(fate.merged_at[place]) + 1,
        merged_into=None if merged == NO_GROUP else int(window[merged]),
    )


def _short(value: float) -> float:
    return round(float(value), _DIGITS)


def _labels(classifier: Classifier, logits: np.ndarray) -> dict[str, float]:
    """Probabilities by label; the number itself of a regression."""
    regression = classifier.label_space.problem_type == "regression"
    values = logits if regression else classifier.probabilities(logits)
    return dict(zip(classifier.classes_, map(_short, values[0]), strict=True))
