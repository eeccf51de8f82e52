"""The label space: which labels there are, in which order, and how they become numbers.

Problem types carry transformers' names, so that a space and a model's configuration agree.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tersely.errors import DataError, TerselyWarning, name_all

__all__ = [
    "IGNORED_LABEL",
    "MULTI_LABEL",
    "PROBLEM_TYPES",
    "REGRESSION",
    "SINGLE_LABEL",
    "LabelSpace",
    "as_number",
]

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
IGNORED_LABEL = -100  # what torch's cross-entropy leaves out of its mean
_NAMED = 5  # unseen labels spelled out in a message


def as_number(text: Any) -> float | None:
    """Return the number a label spells, or None where it spells none."""
    try:
        return float(text)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class LabelSpace:
    """The labels a model tells apart, in the order of its outputs.

    Attributes:
        names: the labels; for regression the one name of the predicted number.
        problem_type: `single_label_classification`, `multi_label_classification` or `regression`.

    Raises:
        DataError: if the problem type is unknown or a name occurs twice.

    Example:
        >>> space = LabelSpace.infer(["pos", "neg", "pos"])
        >>> space.names
        ('neg', 'pos')
        >>> space.encode(["pos", "neg"])
        array([1, 0])
    """

    names: tuple[str, ...]
    problem_type: str

    def __post_init__(self) -> None:
        if self.problem_type not in PROBLEM_TYPES:
            raise DataError(
                f"the problem type must be one of {name_all(PROBLEM_TYPES)}, "
                f"not {self.problem_type!r}"
            )
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise DataError(
                f"label names must differ, but {name_all(twice)} occur more than once; rename them"
            )

    @classmethod
    def infer(cls, labels: Sequence[Any] | None, problem_type: str | None = None) -> LabelSpace:
        """Collect the label space of training labels, as `Documents.labels` holds them.

        Args:
            labels: strings (one label each), lists of strings (several) or floats (regression).
            problem_type: what the labels are for; by default, what their type says.

        Returns:
            The space; names that are all numbers are in the numbers' order, others in
            alphabetical order.

        Raises:
            DataError: if there are no labels, fewer than two classes, or labels of another kind
                than the problem type needs.
        """
        if labels is None or len(labels) == 0:
            raise DataError(
                "labels are needed to know the classes, and there are none; name the label column"
            )
        problem_type = problem_type or _problem_type_of(labels[0])
        if problem_type == REGRESSION:
            space = cls(("score",), REGRESSION)
            space._check_kind(labels)
            return space
        cls((), problem_type)._check_kind(labels)
        names = _sorted_names(_flatten(labels, problem_type))
        if len(names) < 2:
            found = f"only {names[0]!r}" if names else "no label at all"
            raise DataError(
                f"at least two classes are needed to train, and the labels hold {found}; "
                "check the label column or add documents of another class"
            )
        return cls(tuple(names), problem_type)

    @property
    def id2label(self) -> dict[int, str]:
        """The name of each output position, as in a model's configuration."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """The output position of each name, as in a model's configuration."""
        return {name: index for index, name in enumerate(self.names)}

    def encode(
        self, labels: Sequence[Any], *, unseen: Literal["error", "skip"] = "error"
    ) -> np.ndarray:
        """Turn labels into the arrays that losses and metrics take.

        Args:
            labels: labels of this space's kind, one entry a document.
            unseen: what to do with labels this space does not hold: `"error"` refuses them;
                `"skip"` warns with counts, encodes a single label as -100 and drops it from a
                document's several.

        Returns:
            int64 `(documents,)` for single labels, float32 `(documents, labels)` of zeros and
            ones for several, float32 `(documents,)` for regression.

        Raises:
            DataError: if labels are of another kind, or unseen and not skipped.
        """
        self._check_kind(labels)
        if self.problem_type == REGRESSION:
            return np.asarray(labels, dtype=np.float32)
        positions = self.label2id
        self._report_unseen(labels, positions, unseen)
        if self.problem_type == SINGLE_LABEL:
            return np.array([positions.get(label, IGNORED_LABEL) for label in labels], np.int64)
        encoded = np.zeros((len(labels), len(self.names)), np.float32)
        for row, document_labels in enumerate(labels):
            encoded[row, [positions[name] for name in document_labels if name in positions]] = 1.0
        return encoded

    def _check_kind(self, labels: Sequence[Any]) -> None:
        for row, label in enumerate(labels):
            kind = _problem_type_of(label)
            if kind != self.problem_type:
                raise DataError(
                    f"labels for {self.problem_type} were expected, and row {row + 1} holds "
                    f"{label!r}; read the data with problem_type={self.problem_type!r}"
                )

    def _report_unseen(self, labels: Sequence[Any], positions: dict[str, int], unseen: str) -> None:
        counts = Counter(
            name for name in _flatten(labels, self.problem_type) if name not in positions
        )
        if not counts:
            return
        named = ", ".join(f"{name!r} ({count})" for name, count in counts.most_common(_NAMED))
        rest = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
        found = (
            f"{sum(counts.values())} labels of {len(counts)} kinds were never seen in training: "
            f"{named}{rest}"
        )
        if unseen == "error":
            raise DataError(f"{found}; the model knows {name_all(self.names)}")
        warnings.warn(f"{found}; they count as errors", TerselyWarning, stacklevel=3)


def _problem_type_of(label: Any) -> str:
    if isinstance(label, str):
        return SINGLE_LABEL
    if isinstance(label, list | tuple):
        return MULTI_LABEL
    if isinstance(label, float | np.floating) and math.isfinite(label):
        return REGRESSION
    raise DataError(
        f"a label must be a string, a list of strings or a finite float, not {label!r}; "
        "Documents.from_lists turns other spellings into these"
    )


def _flatten(labels: Sequence[Any], problem_type: str) -> list[str]:
    if problem_type == SINGLE_LABEL:
        return list(labels)
    return [name for document_labels in labels for name in document_labels]


def _sorted_names(names: Sequence[str]) -> list[str]:
    distinct = set(names)
    numbers = {name: as_number(name) for name in distinct}
    if all(number is not None and math.isfinite(number) for number in numbers.values()):
        return sorted(distinct, key=lambda name: (numbers[name], name))
    return sorted(distinct)
