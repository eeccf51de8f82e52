"""What `fit` makes of what it is given, before anything is trained.

Texts and labels come as lists, columns or `Documents`, validation as documents or as a share, and a
teacher as a classifier or as logits. What can be wrong with them is said here, before a model is
read; and a teacher's logits stay with their documents when some of these are set apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tersely.errors import DataError
from tersely.text import Documents, LabelSpace, split_numbers
from tersely.text.encoding import EncodedDocuments
from tersely.training.trainer import TrainingDocuments

if TYPE_CHECKING:
    from tersely.modeling import TerselyForSequenceClassification
    from tersely.trained import TrainedModel

__all__ = ["Material", "gather", "guide_of_teacher", "logits_of_teacher"]


@dataclass(frozen=True)
class Material:
    """What a run trains on, and what its epochs are judged by.

    Attributes:
        documents: to train on, with labels.
        validation: to choose the best epoch by, or None.
        space: the labels that are told apart.
        logits: a teacher's, of the documents to train on, if they were given as numbers.
    """

    documents: Documents
    validation: Documents | None
    space: LabelSpace
    logits: np.ndarray | None

    def encoded(
        self,
        encode: Callable[[Sequence[str], Sequence[str] | None], EncodedDocuments],
        logits: np.ndarray | None,
    ) -> tuple[TrainingDocuments, TrainingDocuments | None]:
        """The documents to train on with a teacher's logits, and those of the validation.

        Args:
            encode: from texts and second texts to ids.
            logits: `(documents, labels)` of the documents to train on, or None.
        """

        def part(documents: Documents, logits: np.ndarray | None) -> TrainingDocuments:
            ids = encode(documents.texts, documents.pairs)
            return TrainingDocuments(ids, self.space.encode(documents.labels), logits)

        train = part(self.documents, logits)
        return train, None if self.validation is None else part(self.validation, None)


def gather(
    texts: Sequence[str] | Documents,
    labels: Sequence[Any] | None,
    pairs: Sequence[str] | None,
    *,
    validation: Documents | float,
    logits: np.ndarray | None,
    problem_type: str | None,
    seed: int,
) -> Material:
    """Check what `fit` was given, and set the validation documents apart.

    Args:
        texts: the documents, with their labels or without.
        labels: a label a document, where `texts` has none.
        pairs: second texts.
        validation: documents, or the share of the training documents to set apart; 0 for none.
        logits: a teacher's, `(documents, labels)`, or None.
        problem_type: as in transformers; None to tell by the labels.
        seed: of what is set apart.

    Raises:
        DataError: for labels that cannot be trained on, logits of other documents or labels, or a
            share that is none.

    Example:
        >>> given = gather(list("abcdefgh"), ["x", "y"] * 4, None, validation=0.25, logits=None,
        ...                problem_type=None, seed=0)
        >>> len(given.documents), len(given.validation), given.space.names
        (6, 2, ('x', 'y'))
    """
    if isinstance(texts, Documents):
        documents = texts
    else:
        documents = Documents.from_lists(texts, labels, pairs)
    if documents.labels is None:
        raise DataError(f"{documents.source} has no labels to train on; name their column")
    space = LabelSpace.infer(documents.labels, problem_type)
    if logits is not None:
        logits = _checked(logits, len(documents), space)
    if isinstance(validation, float | int):
        rows, held = _set_apart(documents, float(validation), seed)
        logits = None if logits is None else logits[rows]
        validation = None if held is None else documents.select(held)
        documents = documents.select(rows)
    return Material(documents, validation, space, logits)


def _checked(logits: np.ndarray, documents: int, space: LabelSpace) -> np.ndarray:
    """A teacher's logits as float32, if they are those of these documents and labels."""
    expected = (documents, len(space.id2label))
    if logits.shape != expected:
        raise DataError(
            f"the teacher's logits must be {expected[0]:,} documents by {expected[1]} labels, got "
            f"an array of shape {logits.shape}"
        )
    if not np.isfinite(logits).all():
        raise DataError("the teacher's logits must be finite numbers, got NaN or infinity")
    return logits.astype(np.float32)


def _set_apart(documents: Documents, share: float, seed: int) -> tuple[list[int], list[int] | None]:
    """The numbers of the documents to train on, and of those to validate on."""
    if not 0 <= share < 1:
        raise DataError(f"the validation share must be in [0, 1), got {share}")
    if share == 0:
        return list(range(len(documents))), None
    return split_numbers(documents, fraction=share, seed=seed)


def logits_of_teacher(teacher: TrainedModel, given: Material) -> np.ndarray:
    """What a trained classifier says of the documents to train on, `(documents, labels)`.

    Raises:
        DataError: if it tells other labels apart.
    """
    names = given.space.names
    if list(teacher.classes_) != list(names):
        raise DataError(
            f"the teacher tells {len(teacher.classes_)} labels apart that are not the "
            f"{len(names)} of the training documents; train it on the same labels"
        )
    return teacher.logits(given.documents.texts, given.documents.pairs)


def guide_of_teacher(
    teacher: TrainedModel, device: torch.device
) -> TerselyForSequenceClassification:
    """The teacher's model for runs alongside on a device; a copy where it is on another one.

    Raises:
        ModelError: if an export runs in its place, which has no hidden states.
    """
    model = teacher.torch_model()
    return model if model.device == device else copy.deepcopy(model).to(device)
