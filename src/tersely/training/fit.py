"""What `Classifier.fit` makes of what it is given, before anything is trained.

What can be wrong with it is said here, before a model is read; and a teacher's logits stay with
their documents when some of these are set apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tersely._io import Progress, counting
from tersely.certificates import different, others
from tersely.errors import DataError
from tersely.linear.fit import LinearFit, checked_weights
from tersely.modeling.cascading import fit_beside
from tersely.text import Documents, LabelSpace, split_numbers
from tersely.text.encoding import SELECTING
from tersely.text.labels import REGRESSION
from tersely.training.trainer import TrainingDocuments

PROVABLE = 3000
"""How many different documents it takes that a tenth is set apart to prove what a cascade loses."""


@dataclass(frozen=True)
class Material:
    """What a run trains on, what its epochs are judged by, what proves, who teaches and watches.

    The teacher is a trained classifier of the same labels; or there are its logits,
    `(documents, labels)` of the documents to train on. `weights` are theirs, `(documents,)`.
    """

    documents: Documents
    validation: Documents | None
    space: LabelSpace
    teacher: Any = None
    logits: np.ndarray | None = None
    proof: Documents | None = None
    weights: np.ndarray | None = None
    progress: Progress = None

    def linear_beside(self, start: Any) -> LinearFit | None:
        """Put a linear stage beside the model to start from, where it chooses tokens by one.

        `start` is that model with its tokenizer, a `tersely.trained.TrainedModel`.
        """
        if not (start.plan.needs_linear or start.model_config.long in SELECTING):
            return None
        whole = start.encode(self.documents.texts, self.documents.pairs, whole=True, tell=False)
        about = whole, self.space.encode(self.documents.labels), start.tokenizer
        how = {"sample_weight": self.weights, "progress": self.progress}
        fit = fit_beside(start.model, *about, scores=True, **how)
        start.adopt(start.model.beside(fit.stage), start.tokenizer)
        return fit

    def encoded(
        self, start: Any, linear: LinearFit | None = None
    ) -> tuple[TrainingDocuments, TrainingDocuments | None]:
        """Tokenise the documents to train on, and those of the validation.

        What `linear` finds telling in a document to train on, it finds without that one's fold: its
        own label would choose what speaks for it, as it never will in use.
        """

        def made(part: Documents, scores: Any = None) -> TrainingDocuments:
            how = {"tell": False, "scores": scores, "progress": self.progress}
            encoded = start.encode(part.texts, part.pairs, **how)
            return TrainingDocuments(encoded, self.space.encode(part.labels))

        own = linear and [linear.piece_scores[fold] for fold in linear.folds]
        train = made(self.documents, own)
        held_out = None if self.validation is None else made(self.validation)
        train.teacher_logits, train.weights = self.logits, self.weights
        if linear is not None:
            tables = np.repeat(linear.folds, train.encoded.counts)
            windows = zip(tables, train.encoded.windows, strict=True)
            train.piece_scores = [linear.piece_scores[fold][window] for fold, window in windows]
        return train, held_out

    def taught(self, train: TrainingDocuments) -> str | None:
        """Give the documents to train on their teacher's logits; return its name."""
        if self.teacher is None:
            return None if self.logits is None else "given logits"
        # Of a cascade, whose first stage may have been fitted on these documents, the encoder.
        alone = self.teacher.alone()
        encoded = alone.encode(self.documents.texts, self.documents.pairs, tell=False)
        told = counting(self.progress, "the teacher's answers", len(encoded))
        train.teacher_logits = alone.forward(encoded, told).logits
        return Path(self.teacher.source).name


def gather(
    texts: Sequence[str] | Documents,
    labels: Sequence[Any] | None,
    pairs: Sequence[str] | None,
    *,
    validation: Documents | float = 0.0,
    teacher: Any = None,
    classes: Sequence[str] | None = None,
    problem_type: str | None = None,
    prove: bool = False,
    sample_weight: Sequence[float] | None = None,
    seed: int = 0,
    progress: Progress = None,
) -> Material:
    """Check what `fit` was given (see there), and set documents apart: for proof, for validation.

    Those that `prove` are drawn first, of different ones only; no other document is equal to one.

    Raises:
        DataError: for labels that cannot be trained on, a teacher of other documents or labels,
            weights that are none, or a share that is none.
    """
    given = isinstance(texts, Documents)
    documents = texts if given else Documents.from_lists(texts, labels, pairs)
    if documents.labels is None:
        raise DataError(f"{documents.source} has no labels to train on; name their column")
    space = LabelSpace.infer(documents.labels, problem_type)
    if classes is not None:
        space = _in_order(space, classes)
    logits = None
    if isinstance(teacher, np.ndarray):
        logits, teacher = _checked(teacher, len(documents), space), None
    elif teacher is not None and teacher.label_space.names != space.names:
        raise DataError(
            f"the teacher tells {len(teacher.classes_)} labels apart that are not the "
            f"{len(space.names)} of the training documents, or not in their order; train it on the "
            "same labels"
        )
    if not isinstance(validation, Documents) and not 0 <= validation < 1:
        raise DataError(f"the validation share must be in [0, 1), got {validation}")
    number = space.problem_type == REGRESSION
    proof = None if number or not prove else _proof(documents, validation, seed)
    rows = others(documents.contents, () if proof is None else proof.contents)
    if validation and not isinstance(validation, Documents):
        kept, held = split_numbers(documents.select(rows), float(validation), seed)
        validation = _part(documents, [rows[number] for number in held], "validation")
        rows = [rows[number] for number in kept]
    weights = None if sample_weight is None else checked_weights(sample_weight, len(documents))
    logits, weights = (None if each is None else each[rows] for each in (logits, weights))
    weights = None if weights is None else weights / weights.mean()
    chosen = documents.select(rows)
    return Material(chosen, validation or None, space, teacher, logits, proof, weights, progress)


def _proof(documents: Documents, validation: Documents | float, seed: int) -> Documents | None:
    """Return a tenth of the different documents, where these are enough; there must be judges."""
    drawn = different(documents.contents, without=getattr(validation, "contents", ()))
    if len(drawn) < PROVABLE or not validation:
        return None
    chosen = np.random.default_rng(seed).permutation(drawn)[: len(drawn) // 10]
    return _part(documents, sorted(chosen), "proof")


def _part(documents: Documents, rows: Sequence[int], what: str) -> Documents:
    """Return some of the documents, by a source that says so."""
    source = f"{documents.source}, a part set apart for {what}"
    return replace(documents.select(rows), source=source)


def _in_order(space: LabelSpace, classes: Sequence[str]) -> LabelSpace:
    """The same labels in another order; there may be more of them than the data holds."""
    names = [str(name) for name in classes]
    # The number of a regression is called by the one name.
    renamed = space.problem_type == "regression" and len(names) == 1
    missing = [] if renamed else [name for name in space.names if name not in names]
    if missing:
        raise DataError(
            "classes must name all labels of the training documents, in the order of the logits, "
            f"got {', '.join(map(repr, names))}, which lacks {missing[0]!r}"
        )
    return LabelSpace(tuple(names), space.problem_type)


def _checked(logits: np.ndarray, documents: int, space: LabelSpace) -> np.ndarray:
    """A teacher's logits as float32, if they are those of these documents and labels."""
    expected = (documents, len(space.names))
    if logits.shape != expected:
        raise DataError(
            f"the teacher's logits must be {expected[0]:,} documents by {expected[1]} labels, got "
            f"an array of shape {logits.shape}"
        )
    if not np.isfinite(logits).all():
        raise DataError("the teacher's logits must be finite numbers, got NaN or infinity")
    return logits.astype(np.float32)
