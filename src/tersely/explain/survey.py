"""Many documents: the words that stay longest in each class, and the tokens of each block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from tersely._io import torch_threads
from tersely.classifier import Classifier
from tersely.explain.document import BlockFigures, block_figures, name_of
from tersely.explain.fates import WindowFate, window_fates
from tersely.explain.words import spell
from tersely.modeling.inference import batches
from tersely.text import Documents

__all__ = ["ClassWords", "Survey", "WordStay", "survey_documents"]

ALL = "all documents"
"""The one class of a regression."""


@dataclass(frozen=True)
class WordStay:
    """A word in the documents of a class.

    Attributes:
        word: in lower case.
        count: how often it was read.
        stayed: share of the blocks that saw it, the mean over its occurrences and the heads.
    """

    word: str
    count: int
    stayed: float


@dataclass(frozen=True)
class ClassWords:
    """The words of a class.

    Attributes:
        label: the class.
        documents: documents of the class.
        stayed: as in `WordStay`, of all words of the class that were read.
        most: the words that stay longest, the best first.
        least: the words that leave first, the first first.
    """

    label: str
    documents: int
    stayed: float
    most: tuple[WordStay, ...]
    least: tuple[WordStay, ...]


@dataclass(frozen=True)
class Survey:
    """What a model did with many documents.

    Attributes:
        model: the model's name.
        method: its plan's name.
        documents: how many.
        by: what the classes are: `"label"` of the data, or `"prediction"` where it has none.
        minimum: how often a word has to occur in a class to be ranked.
        tokens: tokens of a document that were read, the mean.
        unread: tokens that were never read, all documents together.
        affected: documents longer than the limit.
        blocks: what each block worked on, the mean of the documents.
        classes: the words by class, in the model's order.
        removes: whether the plan took any token away from any block.
    """

    model: str
    method: str
    documents: int
    by: str
    minimum: int
    tokens: float
    unread: int
    affected: int
    blocks: tuple[BlockFigures, ...]
    classes: tuple[ClassWords, ...]
    removes: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        return asdict(self)


@dataclass
class _Tally:
    """How often a word was read in a class, and the sum of its shares."""

    count: int = 0
    stayed: float = 0.0


class _Gathering:
    """Words by class, and the tokens of the blocks, summed up batch by batch."""

    def __init__(self, classifier: Classifier, documents: Documents) -> None:
        self.classifier = classifier
        self.documents = documents
        self.tallies: dict[str, dict[str, _Tally]] = defaultdict(lambda: defaultdict(_Tally))
        self.sizes: dict[str, int] = defaultdict(int)
        self.blocks: list[BlockFigures] = []
        self.removes = False

    def add(self, number: int, decided: Any, fates: list[WindowFate]) -> None:
        """Add a document, by its label or else by what was decided for it."""
        given, pairs = self.documents.labels, self.documents.pairs
        self.removes = self.removes or any(map(_removes, fates))
        pair = None if pairs is None else pairs[number]
        stays = list(_stays(self.classifier, self.documents.texts[number], pair, fates))
        for name in _classes_of(decided if given is None else given[number]):
            self.sizes[name] += 1
            for word, share in stays:
                tally = self.tallies[name][word]
                tally.count += 1
                tally.stayed += share

    def ranked(self, minimum: int, top: int) -> tuple[ClassWords, ...]:
        """The words of each class, in the model's order; labels that it does not know last."""
        known = [name for name in self.classifier.classes_ if name in self.sizes]
        order = [*known, *sorted(set(self.sizes) - set(known))]
        return tuple(
            _rank(name, self.sizes[name], self.tallies[name], minimum, top) for name in order
        )


def survey_documents(
    classifier: Classifier,
    documents: Documents,
    *,
    minimum: int = 5,
    top: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Run a classifier over documents and gather what became of their words.

    Args:
        classifier: a trained one, of any method.
        documents: the documents; where they have no labels, they are sorted by their predictions.
        minimum: how often a word has to occur in a class to be ranked there.
        top: how many words to name for each class and end.
        progress: called with the number of documents done after each batch.

    Raises:
        ModelError: if the classifier is an export, which shows nothing of its blocks.
    """
    model = classifier.torch_model()
    encoded = classifier.encode(documents.texts, documents.pairs)
    gathering = _Gathering(classifier, documents)
    with torch.inference_mode(), torch_threads(classifier.execution.threads):
        for numbers, inputs in batches(encoded, classifier.batch_tokens, model.device):
            output = model(**inputs, output_trace=True)
            gathering.blocks = _add(gathering.blocks, block_figures(output.trace.blocks, 1))
            decided = classifier.decide(output.logits.float().cpu().numpy())
            windows = [len(window) for window in encoded.select(numbers).windows]
            fates = iter(window_fates(output.trace, windows))
            for place, number in enumerate(numbers):
                own = list(islice(fates, int(encoded.counts[number])))
                gathering.add(number, decided[place], own)
            if progress is not None:
                progress(len(numbers))
    count = max(1, len(documents))
    means = (
        BlockFigures(b.layer, b.kind, b.entered / count, b.keys / count, b.left / count)
        for b in gathering.blocks
    )
    return Survey(
        model=name_of(classifier),
        method=classifier.plan.name,
        documents=len(documents),
        by="prediction" if documents.labels is None else "label",
        minimum=minimum,
        tokens=encoded.tokens / count,
        unread=encoded.report.unread,
        affected=encoded.report.affected,
        blocks=tuple(means),
        classes=gathering.ranked(minimum, top),
        removes=gathering.removes,
    )


def _add(sums: list[BlockFigures], more: tuple[BlockFigures, ...]) -> list[BlockFigures]:
    if not sums:
        return list(more)
    return [
        BlockFigures(a.layer, a.kind, a.entered + b.entered, a.keys + b.keys, a.left + b.left)
        for a, b in zip(sums, more, strict=True)
    ]


def _removes(fate: WindowFate) -> bool:
    return fate.combined_at is not None or bool((fate.keys < 1).any())


def _stays(
    classifier: Classifier, text: str, pair: str | None, fates: list[WindowFate]
) -> Iterator[tuple[str, float]]:
    """Each word of a document that was read, with the share of the blocks that saw it."""
    spelling = spell(classifier, text, pair)
    shares = np.full(len(spelling.pieces), np.nan)
    for window, fate in zip(spelling.windows, fates, strict=True):
        blocks = len(fate.layers) if fate.combined_at is None else fate.combined_at + 1
        shares[window] = np.fmax(shares[window], fate.reached / blocks)
    texts = (text, pair)
    for word in spelling.words:
        share = np.fmax.reduce(shares[list(word.tokens)])
        spelt = texts[word.part][word.start : word.stop].lower()
        if spelt and not np.isnan(share):
            yield spelt, float(share)


def _classes_of(label: Any) -> list[str]:
    if isinstance(label, list):
        return label
    return [label] if isinstance(label, str) else [ALL]


def _rank(
    name: str, documents: int, tallies: dict[str, _Tally], minimum: int, top: int
) -> ClassWords:
    words = [
        WordStay(word, tally.count, tally.stayed / tally.count)
        for word, tally in tallies.items()
        if tally.count >= minimum
    ]
    most = sorted(words, key=lambda each: (-each.stayed, -each.count, each.word))[:top]
    least = sorted(words, key=lambda each: (each.stayed, -each.count, each.word))[:top]
    count = sum(tally.count for tally in tallies.values())
    stayed = sum(tally.stayed for tally in tallies.values()) / max(1, count)
    return ClassWords(name, documents, stayed, tuple(most), tuple(least))
