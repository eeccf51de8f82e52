"""What can take part in a comparison, and the kinds that most people compare.

Clock, memory measurement and report know contenders by the class `Contender` alone. A remote
service or a rule is a `TextContender` with one method; a `tersely.Classifier` is a
`PackedContender`, through its public interface and nothing below it; what an encoder has to be
worth its price against is a `LinearContender`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tersely.classifier import Classifier
from tersely.linear import LinearStage, fit_linear
from tersely.modeling.cascading import linear_log_probabilities
from tersely.reduction import Plan
from tersely.text import LabelSpace
from tersely.text.encoding import encode


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
        """Tokenise and batch the documents, in place of those that were prepared before."""

    @abstractmethod
    def run(self) -> np.ndarray:
        """Run the forward pass alone; logits `(documents, labels)` in the order of the texts."""


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


class PackedContender(Contender):
    """A `tersely.Classifier` on packed batches."""

    def __init__(self, classifier: Classifier, name: str = "packed") -> None:
        self.name, self.classifier, self.tokenizer = name, classifier, classifier.tokenizer

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise the documents."""
        self._encoded = self.classifier.encode(texts)
        self.tokens = self._encoded.tokens

    def run(self) -> np.ndarray:
        """Pack and run all documents; logits `(documents, labels)` in the order of the texts."""
        forward = self.classifier.forward(self._encoded)
        self.macs = float(forward.encoder_macs)
        return forward.logits


def under_plan(classifier: Classifier, plan: Plan) -> Classifier:
    """Return the encoder alone under another plan, weights shared; the first stays as it is.

    A PlanError says which blocks, modules or head the model was built without.
    """
    made = classifier.with_model(classifier.alone().torch_model().under_plan(plan))
    made.plan = plan
    return made


class LinearContender(TextContender):
    """The linear stage of a cascade alone, from text, once it is fitted."""

    about = "linear model on word pieces and pairs of them, chosen by cross-validation"
    _stage: LinearStage

    def __init__(self, name: str, tokenizer: Any, max_length: int, space: LabelSpace) -> None:
        self.name, self.tokenizer, self._space = name, tokenizer, space
        self._encode = partial(encode, tokenizer, max_length=max_length)

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit on texts with the labels that the label space encodes."""
        encoded = self._encode(texts)
        self._stage = fit_linear(
            torch.from_numpy(np.concatenate(encoded.windows)),
            torch.from_numpy(np.concatenate([[0], np.cumsum(encoded.sizes)])),
            labels,
            classes=len(self._space.names),
            vocabulary=len(self.tokenizer),
            special_ids=tuple(self.tokenizer.all_special_ids),
            problem_type=self._space.problem_type,
        ).stage

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return log-probabilities `(documents, labels)`."""
        return linear_log_probabilities(self._stage, self._encode(texts)).numpy()
