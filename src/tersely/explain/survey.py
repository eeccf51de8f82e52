"""Many documents: the words that stay longest in each class, and the tokens of each block."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely._io import torch_threads
from tersely.classifier import Classifier
from tersely.explain.document import BlockFigures, block_figures
from tersely.explain.lineage import Lineage, lineage, spell
from tersely.modeling.inference import batches
from tersely.text import Documents

ALL = "all documents"
"""The one class of a regression."""


@dataclass(frozen=True)
class WordStay:
    """A word in lower case, how often it was read in a class, and how long it stayed."""

    word: str
    count: int
    stayed: float  # share of the blocks that saw it, the mean over its occurrences and the heads


@dataclass(frozen=True)
class ClassWords:
    """The words of a class that stay longest and that leave first; `stayed` is of all its words."""

    label: str
    documents: int
    stayed: float
    most: tuple[WordStay, ...]
    least: tuple[WordStay, ...]


@dataclass(frozen=True)
class Survey:
    """What a model did with many documents.

    Classes are, as `by` says, a `"label"` of the data, or a `"prediction"` where it has none. A
    word that occurs less than `minimum` times in one is not ranked. Of `tokens` that were read and
    of `blocks` it is the mean of the documents. `removes`: any token was taken away from any block.
    """

    model: str
    method: str
    documents: int
    by: str
    minimum: int
    tokens: float
    blocks: tuple[BlockFigures, ...]
    classes: tuple[ClassWords, ...]
    removes: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return asdict(self)


def survey_documents(
    classifier: Classifier,
    documents: Documents,
    *,
    minimum: int = 5,
    top: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Run a classifier over documents and gather what became of their words.

    Documents without labels are sorted by their predictions. Of each class `top` words are named
    for each end, of those that occur `minimum` times in it. `progress` is told, after each batch,
    of how many documents it was.
    """
    model = classifier.torch_model()
    encoded = classifier.encode(documents.texts, documents.pairs)
    sums: tuple[BlockFigures, ...] = ()
    removes = False
    sizes: Counter[str] = Counter()
    stays: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with torch.inference_mode(), torch_threads(classifier.threads):
        for numbers, inputs in batches(encoded, classifier.batch_tokens, model.device):
            output = model(**inputs, output_trace=True)
            sums = block_figures(output.trace.blocks, sums)
            decided = classifier.decide(output.logits.float().cpu().numpy())
            windows = enumerate(encoded.select(numbers).windows)
            found = (lineage(output.trace, row, len(window)) for row, window in windows)
            for place, number in enumerate(numbers):
                own = list(islice(found, int(encoded.counts[number])))
                removes = removes or any(each.removes for each in own)
                given = decided[place] if documents.labels is None else documents.labels[number]
                given = given if isinstance(given, str | list) else ALL
                classes = [given] if isinstance(given, str) else given
                sizes.update(classes)
                for word, share in _stays(classifier, documents, number, own):
                    for name in classes:
                        stays[name][word].append(share)
            if progress is not None:
                progress(len(numbers))
    count = max(1, len(documents))
    # In the model's order; labels that it does not know last.
    order = [name for name in classifier.classes_ if name in sizes]
    order += sorted(set(sizes) - set(order))
    return Survey(
        Path(classifier.source).name,
        classifier.plan.name,
        len(documents),
        by="prediction" if documents.labels is None else "label",
        minimum=minimum,
        tokens=encoded.tokens / count,
        blocks=tuple(
            BlockFigures(b.number, b.kind, b.entered / count, b.keys / count, b.left / count)
            for b in sums
        ),
        classes=tuple(_rank(name, sizes[name], stays[name], minimum, top) for name in order),
        removes=removes,
    )


def _stays(
    classifier: Classifier, documents: Documents, number: int, found: list[Lineage]
) -> Iterator[tuple[str, float]]:
    texts = [documents.texts[number]]
    if documents.pairs is not None:
        texts.append(documents.pairs[number])
    spelling = spell(classifier, *texts)
    shares = np.full(len(spelling.pieces), np.nan)
    for window, told in zip(spelling.windows, found, strict=True):
        shares[window] = np.fmax(shares[window], told.keys.sum(axis=0) / told.reading)
    for part, start, stop, tokens in spelling.words:
        share = np.fmax.reduce(shares[list(tokens)])
        spelt = texts[part][start:stop].lower()
        if spelt and not np.isnan(share):
            yield spelt, float(share)


def _rank(
    name: str, documents: int, stays: dict[str, list[float]], minimum: int, top: int
) -> ClassWords:
    often = ((word, shares) for word, shares in stays.items() if len(shares) >= minimum)
    words = [WordStay(word, len(shares), sum(shares) / len(shares)) for word, shares in often]
    most = sorted(words, key=lambda each: (-each.stayed, -each.count, each.word))[:top]
    least = sorted(words, key=lambda each: (each.stayed, -each.count, each.word))[:top]
    shares = [share for each in stays.values() for share in each]
    stayed = sum(shares) / max(1, len(shares))
    return ClassWords(name, documents, stayed, tuple(most), tuple(least))
