"""What can take part in a comparison, and the two kinds that most people compare.

Clock, memory measurement and report know contenders by the class `Contender` alone. A remote
service or a rule is a `TextContender` with one method; a `tersely.Classifier` is a
`PackedContender`, through its public interface and nothing below it.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from tersely.classifier import Classifier
from tersely.errors import TerselyWarning
from tersely.reduction import Plan
from tersely.text.encoding import EncodedDocuments


class Contender(ABC):
    """Something that gives logits for documents, and can be asked to do so again and again."""

    name: str  # how the report calls it
    about: str | None = None  # what it is, in a line
    macs: float | None = None  # of the encoder's blocks in the last `run`; None when not counted
    tokens: int | None = None  # of the prepared documents, after truncation, without padding
    training_seconds: float | None = None  # None if nobody knows
    tokenises_in_run: bool = False  # whether tokenising is part of `run`, and so of every time

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise and batch the documents once, outside the clock."""

    @abstractmethod
    def run(self) -> np.ndarray:
        """Run the forward pass alone; logits `(documents, labels)` in the order of the texts."""

    @abstractmethod
    def run_one(self, index: int) -> np.ndarray:
        """Run one prepared document alone, untimed at first; logits `(1, labels)`."""

    def spec(self) -> dict[str, Any] | None:
        """Return what `from_spec` builds this contender from elsewhere, as JSON, if that can be."""
        return None

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Build the contender that `spec` describes."""
        return cls(**spec)


class TextContender(Contender):
    """A contender that takes texts and gives scores, all of it inside the clock.

    A class of one's own needs a `name` and `scores`; with `fit` it is fitted on training documents.

    Example:
        >>> class Length(TextContender):
        ...     name = "longer than ten words"
        ...     def scores(self, texts):
        ...         longer = np.array([len(text.split()) > 10 for text in texts])
        ...         return np.stack([~longer, longer], axis=1).astype(np.float32)
        >>> contender = Length()
        >>> contender.prepare(["short", "a b c d e f g h i j k"])
        >>> contender.run().argmax(1).tolist()
        [0, 1]
    """

    name = "texts"
    tokenises_in_run = True

    @abstractmethod
    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return logits `(documents, labels)`; logarithms of probabilities will do."""

    def prepare(self, texts: Sequence[str]) -> None:
        """Keep the texts; nothing is done outside the clock."""
        self._texts = list(texts)

    def run(self) -> np.ndarray:
        """Score all texts; logits `(documents, labels)`."""
        return self.scores(self._texts)

    def run_one(self, index: int) -> np.ndarray:
        """Score one text; logits `(1, labels)`."""
        return self.scores(self._texts[index : index + 1])


class PackedContender(Contender):
    """A `tersely.Classifier` on packed batches.

    `source` are keyword arguments with which `Classifier.from_pretrained` loads its weights again,
    as JSON; without them its memory cannot be measured.
    """

    def __init__(
        self, classifier: Classifier, name: str = "packed", source: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self.classifier, self.source = name, classifier, source
        self._alone: dict[int, EncodedDocuments] = {}

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise the documents."""
        self._texts, self._alone = list(texts), {}
        self._encoded = self.classifier.encode(texts)
        self.tokens = self._encoded.tokens

    def run(self) -> np.ndarray:
        """Pack and run all documents; logits `(documents, labels)` in the order of the texts."""
        forward = self.classifier.forward(self._encoded)
        self.macs = float(forward.encoder_macs)
        return forward.logits

    def run_one(self, index: int) -> np.ndarray:
        """Run one document alone; logits `(1, labels)`; the first call tokenises it."""
        if index not in self._alone:
            # `prepare` said already how many documents are too long.
            self._alone[index] = self.classifier.encode([self._texts[index]], tell=False)
        return self.classifier.forward(self._alone[index]).logits

    def spec(self) -> dict[str, Any] | None:
        """Return name, source, plan and whether a cascade is left out; None without a source."""
        if self.source is None:
            return None
        plan = self.classifier.plan.to_dict()
        alone = self.classifier.model_config.cascade is None
        return {"name": self.name, "source": dict(self.source), "plan": plan, "alone": alone}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Load the classifier that `spec` describes."""
        source, plan = spec["source"], Plan.from_dict(spec["plan"])
        # Said where it was first loaded.
        with warnings.catch_warnings(action="ignore", category=TerselyWarning):
            classifier = Classifier.from_pretrained(**source)
        if plan != classifier.plan or (spec["alone"] and classifier.model_config.cascade):
            classifier = under_plan(classifier, plan)
        return cls(classifier, spec["name"], source=source)


def under_plan(classifier: Classifier, plan: Plan) -> Classifier:
    """Return the encoder alone under another plan, weights shared; the first stays as it is.

    A PlanError says which blocks, modules or head the model was built without.
    """
    made = classifier.with_model(classifier.alone().torch_model().under_plan(plan))
    made.plan = plan
    return made
