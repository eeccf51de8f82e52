"""Many documents: the words that stay longest in each class, and the tokens of each block."""

from __future__ import annotations

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
from tersely.errors import OutputError, require
from tersely.explain.document import BlockFigures, block_figures, name_of
from tersely.explain.lineage import Lineage, lineages, spell
from tersely.modeling.inference import batches
from tersely.text import Documents

__all__ = ["ClassWords", "Survey", "WordStay", "survey_documents", "write_plot"]

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
    sums: tuple[BlockFigures, ...] = ()
    removes = False
    sizes: Counter[str] = Counter()
    stays: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with torch.inference_mode(), torch_threads(classifier.execution.threads):
        for numbers, inputs in batches(encoded, classifier.batch_tokens, model.device):
            output = model(**inputs, output_trace=True)
            sums = block_figures(output.trace.blocks, sums)
            decided = classifier.decide(output.logits.float().cpu().numpy())
            windows = [len(window) for window in encoded.select(numbers).windows]
            found = iter(lineages(output.trace, windows))
            for place, number in enumerate(numbers):
                own = list(islice(found, int(encoded.counts[number])))
                removes = removes or any(each.removes for each in own)
                given = decided[place] if documents.labels is None else documents.labels[number]
                classes = _classes_of(given)
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
        model=name_of(classifier),
        method=classifier.plan.name,
        documents=len(documents),
        by="prediction" if documents.labels is None else "label",
        minimum=minimum,
        tokens=encoded.tokens / count,
        unread=encoded.report.unread,
        affected=encoded.report.affected,
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
    """Yield each word of a document that was read, with the share of the blocks that saw it."""
    texts = [documents.texts[number]]
    if documents.pairs is not None:
        texts.append(documents.pairs[number])
    spelling = spell(classifier, *texts)
    shares = np.full(len(spelling.pieces), np.nan)
    for window, lineage in zip(spelling.windows, found, strict=True):
        shares[window] = np.fmax(shares[window], lineage.reached / lineage.reading)
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
    name: str, documents: int, stays: dict[str, list[float]], minimum: int, top: int
) -> ClassWords:
    words = [
        WordStay(word, len(shares), sum(shares) / len(shares))
        for word, shares in stays.items()
        if len(shares) >= minimum
    ]
    most = sorted(words, key=lambda each: (-each.stayed, -each.count, each.word))[:top]
    least = sorted(words, key=lambda each: (each.stayed, -each.count, each.word))[:top]
    shares = [share for each in stays.values() for share in each]
    stayed = sum(shares) / max(1, len(shares))
    return ClassWords(name, documents, stayed, tuple(most), tuple(least))


def write_plot(survey: Survey, path: Path) -> Path:
    """Write how many tokens each block works on as a plot, in the format of the suffix.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputError: if the file cannot be written, or matplotlib has no such format.
    """
    require("matplotlib", "explain")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    series = {"entered": ("tokens in", "#a9c8ea"), "keys": ("keys", "#1f5fa8")}
    series["left"] = ("tokens on", "#c8553d")
    for number, (field, (label, colour)) in enumerate(series.items()):
        heights = [getattr(block, field) for block in survey.blocks]
        places = [place + 0.27 * (number - 1) for place in range(len(heights))]
        axes.bar(places, heights, width=0.27, label=label, color=colour)
    axes.axhline(survey.tokens, color="#5b6572", linestyle="--", linewidth=0.8)
    names = [each.name.replace(" ", "\n") for each in survey.blocks]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("block")
    axes.set_ylabel("tokens of a document, mean")
    axes.set_title(f"{survey.model} on {survey.documents:,} documents (dashed: tokens read)")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=144)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"the plot {path} cannot be written: {reason}; choose another name or place"
        ) from None
    return path
