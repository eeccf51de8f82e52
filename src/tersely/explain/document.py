"""What happened to one document: its words, how far each got, and what was decided.

A token that leaves in the last block has been seen by all of them, and is no part of what the head
reads. An explanation is of what was computed, not of why: a word that got far was read by more
blocks, and its score is what the plan chose by; neither says that the label would change without
it.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely._io import torch_threads
from tersely.cascade import LINEAR
from tersely.classifier import Classifier
from tersely.explain.lineage import Spelling, TokenLineage, lineage, short, spell
from tersely.modeling.cascading import stage_model
from tersely.modeling.inference import on_device
from tersely.ragged import Layout
from tersely.text.batching import pack
from tersely.text.encoding import EncodedDocuments
from tersely.text.labels import MULTI_LABEL


@dataclass(frozen=True)
class WordLineage:
    """A word, `text[start:stop]` of part 0 or 1 of a pair; of its tokens the best one counts."""

    text: str
    part: int
    start: int
    stop: int
    tokens: tuple[TokenLineage, ...]
    places: tuple[int, ...]  # of the tokens, in the document in full

    @property
    def read(self) -> bool:
        """Whether the model read any of it."""
        return any(token.read for token in self.tokens)

    @property
    def furthest(self) -> TokenLineage:
        """The first of its tokens that got as far as any."""
        return max(self.tokens, key=lambda token: token.reached)

    @property
    def reached(self) -> float:
        """How many blocks saw it, the mean of the heads."""
        return self.furthest.reached

    @property
    def contribution(self) -> float | None:
        """What it added to the linear stage's log-odds, where that stage answered."""
        found = [token.contribution for token in self.tokens if token.contribution is not None]
        return sum(found) if found else None


@dataclass(frozen=True)
class BlockFigures:
    """What one block worked on, all windows together; `number` is the encoder's, from 0.

    `kind` is `"combine"` where combination tokens take all others in, `"block"` otherwise.
    """

    number: int
    kind: str
    entered: float  # tokens, combination tokens included
    keys: float  # of each query
    left: float  # tokens of the feed-forward

    @property
    def name(self) -> str:
        """Its number from 1, as people count, and what is special about it."""
        return f"{self.number + 1}" + (" combines" if self.kind == "combine" else "")


@dataclass(frozen=True)
class StageAnswer:
    """Which stage of a cascade answered, how sure it was, and who had been asked.

    Of the linear stage: `favours` is the label that contributions speak for, `over` the likeliest
    other one (None where several labels may hold), and `bias` what no word adds. They and `bias`
    add up to the log-odds of the one over the other, or of the label.
    """

    name: str
    confidence: float
    stages: tuple[str, ...]
    favours: str | None = None
    over: str | None = None
    bias: float = 0.0

    @property
    def contrast(self) -> str:
        """What contributions speak for, in words."""
        return f"{self.favours}" + ("" if self.over is None else f" over {self.over}")

    def sentence(self) -> str:
        """Return who answered, in words."""
        row = " → ".join(self.stages)
        return f"The stage {self.name} answered ({row}); its label led by {self.confidence:.4f}"


@dataclass(frozen=True)
class Explanation:
    """What a model did with a document."""

    model: str
    method: str
    texts: tuple[str, ...]
    words: tuple[WordLineage, ...]
    special: tuple[TokenLineage, ...]  # those that stand for no text, such as [CLS]
    blocks: tuple[BlockFigures, ...]  # that ran; the tokens of all windows together
    labels: dict[str, float]  # probabilities, in the model's order; of a regression its number
    decided: Any
    problem_type: str
    tokens: int  # of the document in full
    unread: int  # of these, what no window holds
    windows: int
    limit: int
    removes: bool  # whether the plan takes any token away from any block
    stage: StageAnswer | None = None
    known: Any = None  # the label that the data hold, as `decided` is given

    @property
    def is_linear(self) -> bool:
        """Whether the linear stage answered, so that no block read anything."""
        return self.stage is not None and self.stage.favours is not None

    @cached_property
    def weighed(self) -> list[WordLineage]:
        """The words that the linear stage weighed, those that count most first."""
        words = [word for word in self.words if word.contribution is not None]
        return sorted(words, key=lambda word: -abs(word.contribution))

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """The labels with their probabilities, the most likely first."""
        return sorted(self.labels.items(), key=lambda item: -item[1])

    @property
    def combined_at(self) -> int | None:
        """The place in `blocks` of the combining block, or None."""
        return next((i for i, block in enumerate(self.blocks) if block.kind == "combine"), None)

    @property
    def reading(self) -> int:
        """How many blocks can see a token of the document: those up to a combining one."""
        return len(self.blocks) if self.combined_at is None else self.combined_at + 1

    @property
    def answer(self) -> str:
        """What was decided, in words."""
        return _spell(self.decided)

    def about_label(self) -> str | None:
        """Return a sentence on what the data say of it; None where they say nothing."""
        if self.known is None:
            return None
        known = sorted(self.known) if isinstance(self.known, list) else self.known
        decided = sorted(self.decided) if isinstance(self.known, list) else self.decided
        return "the known label agrees" if known == decided else f"known label: {_spell(known)}"

    def about_length(self) -> str | None:
        """Return a sentence on what was never read, or on the windows; None if there is none."""
        said = f"longer than {self.limit} tokens: "
        if self.windows > 1:
            return f"{said}read in {self.windows} windows; a word is shown where it got furthest"
        share = f"{self.unread:,} of {self.tokens:,} tokens ({self.unread / self.tokens:.0%})"
        return f"{said}{share} were never read" if self.unread else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        record = asdict(self)
        for word, source in zip(record["words"], self.words, strict=True):
            word["read"], word["reached"] = source.read, source.reached
            word["contribution"] = source.contribution
        return record


def _spell(decided: Any) -> str:
    if isinstance(decided, list):
        return ", ".join(decided) or "no label"
    return f"{decided:.4f}" if isinstance(decided, float) else decided


def explain_document(
    classifier: Classifier, text: str, pair: str | None = None, known: Any = None
) -> Explanation:
    """Run a classifier, no export, over one document or a pair of texts, and say what it did.

    `known` is the label that the data hold, to be shown beside the answer.
    """
    model = classifier.torch_model()
    encoded = classifier.encode([text], None if pair is None else [pair])
    spelling = spell(classifier, text, pair)
    cascade, stage, answer = model.cascade, None, None
    if cascade is not None:
        answer = classifier.forward(encoded)
        stage = cascade.stages[int(answer.stages[0])]
        model = stage_model(model, stage)
    is_linear = stage is not None and stage.kind == LINEAR
    known_of = zip(spelling.pieces, spelling.read.tolist(), strict=True)
    tokens, traced = [TokenLineage(*each) for each in known_of], ()
    if not is_linear:
        inputs = on_device(pack(encoded, [0]), model.device)
        with torch.inference_mode(), torch_threads(classifier.threads):
            output = model(**inputs, output_trace=True)
        traced = output.trace.blocks
        for number, window in enumerate(spelling.windows):
            own = lineage(output.trace, number, window, spelling.pieces)
            for token, found in zip(window.tolist(), own, strict=True):
                if not tokens[token].keys or found.reached > tokens[token].reached:
                    tokens[token] = found
    # A cascade's are calibrated.
    logits = output.logits.float().cpu().numpy() if answer is None else answer.logits
    problem = classifier.label_space.problem_type
    values = logits if problem == "regression" else classifier.probabilities(logits)
    texts = (text,) if pair is None else (text, pair)
    told = None
    if stage is not None:
        names = tuple(each.name for each in cascade.stages)
        told = StageAnswer(stage.name, short(answer.confidence[0]), names)
        if is_linear:
            told, tokens = _weigh(classifier, told, values[0], encoded, spelling, tokens)
    blocks = (
        BlockFigures(b.block, b.kind, sum(b.queries), sum(b.keys), sum(b.transformed))
        for b in traced
    )
    words = (
        WordLineage(texts[part][start:stop], part, start, stop, tuple(tokens[i] for i in own), own)
        for part, start, stop, own in spelling.words
    )
    return Explanation(
        Path(classifier.source).name,
        classifier.plan.name if stage is None else stage.name,
        texts,
        tuple(words),
        special=tuple(tokens[place] for place in spelling.special),
        blocks=tuple(blocks),
        labels=dict(zip(classifier.label_space.names, map(short, values[0]), strict=True)),
        decided=classifier.decide(logits)[0],
        problem_type=problem,
        tokens=len(tokens),
        unread=int((~spelling.read).sum()),
        windows=len(encoded.windows),
        limit=classifier.limit,
        removes=any(each.group is not None or min(each.keys, default=1) < 1 for each in tokens),
        stage=told,
        known=known,
    )


def _weigh(
    classifier: Classifier,
    told: StageAnswer,
    shares: np.ndarray,
    encoded: EncodedDocuments,
    spelling: Spelling,
    tokens: list[TokenLineage],
) -> tuple[StageAnswer, list[TokenLineage]]:
    """Add what each token contributed to the linear stage's likeliest label, over the next one."""
    linear = classifier.torch_model().linear
    row = torch.from_numpy(np.concatenate(encoded.windows)).to(linear.bias.device)
    added = linear.contributions(row, Layout.from_lengths([len(row)], row.device))
    several = linear.form.problem_type == MULTI_LABEL
    best, second = [*np.argsort(-shares), 0][:2]
    figures = [added, linear.bias[None]]
    figures = [f[:, best] if several else f[:, best] - f[:, second] for f in figures]
    worth, bias = ((f / linear.form.temperature).cpu().numpy() for f in figures)
    # A token that two windows read counts in both, as it did for the stage.
    sums = np.bincount(np.concatenate(spelling.windows), worth, minlength=len(tokens))
    tokens = [
        replace(token, contribution=short(own)) if token.read else token
        for token, own in zip(tokens, sums, strict=True)
    ]
    names = classifier.label_space.names
    favours, over = names[best], None if several else names[second]
    return replace(told, favours=favours, over=over, bias=short(bias[0])), tokens
