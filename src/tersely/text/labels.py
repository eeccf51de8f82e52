"""Labels: the cells of a column turned into labels of one kind, and labels turned into numbers.

A label keeps its spelling where it was text. Numbers and booleans become text, because a class
is a name; a number that is to be predicted as a number needs problem type regression. Problem types
carry transformers' names, so that a label space and a model's configuration agree.
"""

from __future__ import annotations

import decimal
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tersely.errors import DataError, TerselyWarning, name_all, name_rows

Labels = list[str] | list[list[str]] | list[float]
SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
IGNORED_LABEL = -100  # what torch's cross-entropy leaves out of its mean
LABEL_SEPARATOR = "|"  # rarer inside label names than a comma, a semicolon or a space


def as_number(cell: Any) -> float | None:
    """Return the number a cell spells, or None where it spells none."""
    try:
        return None if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def is_missing(cell: Any) -> bool:
    """Say whether a cell holds nothing: null, a float that is not a number, or blank text."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


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

        Names that are all numbers are in the numbers' order, others in alphabetical order.

        Args:
            labels: strings (one label each), lists of strings (several) or floats (regression).
            problem_type: what the labels are for; by default, what their type says.

        Raises:
            DataError: if there are no labels, fewer than two classes, or labels of another kind
                than the problem type needs.
        """
        if labels is None or len(labels) == 0:
            raise DataError(
                "labels are needed to know the classes, and there are none; name the label column"
            )
        problem_type = problem_type or _problem_type_of(labels[0])
        space = cls(("score",) if problem_type == REGRESSION else (), problem_type)
        space._check_kind(labels)
        if problem_type == REGRESSION:
            return space
        names = sorted(set(_flatten(labels, problem_type)))
        if len(names) < 2:
            found = f"only {names[0]!r}" if names else "no label at all"
            raise DataError(
                f"at least two classes are needed to train, and the labels hold {found}; "
                "check the label column or add documents of another class"
            )
        numbers = [as_number(name) for name in names]
        if all(number is not None and math.isfinite(number) for number in numbers):
            names.sort(key=float)
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
                `"skip"` warns with counts and encodes them so that metrics count them as errors, a
                single label as -100, and of several labels each unseen one in a further column,
                which no model can predict.

        Returns:
            int64 `(documents,)` for single labels, float32 `(documents, labels)` of zeros and
            ones for several, float32 `(documents,)` for regression.

        Raises:
            DataError: if labels are of another kind, or unseen and not skipped, or all unseen.
        """
        self._check_kind(labels)
        if self.problem_type == REGRESSION:
            return np.asarray(labels, dtype=np.float32)
        positions = self.label2id
        found = Counter(_flatten(labels, self.problem_type))
        new = Counter({name: count for name, count in found.items() if name not in positions})
        if new:
            self._report_unseen(new, known=len(found) - len(new), unseen=unseen)
        if self.problem_type == SINGLE_LABEL:
            return np.array([positions.get(label, IGNORED_LABEL) for label in labels], np.int64)
        positions |= {name: len(self.names) + number for number, name in enumerate(new)}
        encoded = np.zeros((len(labels), len(positions)), np.float32)
        for row, document_labels in enumerate(labels):
            encoded[row, [positions[name] for name in document_labels]] = 1.0
        return encoded

    def _check_kind(self, labels: Sequence[Any]) -> None:
        kinds = {_problem_type_of(label) for label in labels}
        if not kinds <= {self.problem_type}:
            raise DataError(
                f"labels for {self.problem_type} were expected, and these are for "
                f"{name_all(sorted(kinds))}; read the data with problem_type={self.problem_type!r}"
            )

    def _report_unseen(self, counts: Counter[str], *, known: int, unseen: str) -> None:
        if not known:
            # A measure over no label that could be right would be 0, or prove whatever is asked.
            raise DataError(
                f"the model knows none of the data's labels: the data has {name_all(counts)}, and "
                f"the model knows {name_all(self.names)}; check the label column, its spelling, "
                "and whether this is the model"
            )
        named = (f"{name} ({count})" for name, count in counts.most_common())
        found = (
            f"{sum(counts.values())} labels of {len(counts)} kinds were never seen in training: "
            f"{name_all(named, limit=5)}"
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


def parse_labels(
    cells: Sequence[Any],
    *,
    where: str,
    problem_type: str | None = None,
    separator: str | None = None,
) -> Labels:
    """Turn the cells of a label column into labels of one kind.

    `where` is what to call the column in messages; the options are those of
    `tersely.text.read_documents`.

    Example:
        >>> parse_labels([1.0, 2.0], where="column 'stars'")
        ['1', '2']
        >>> parse_labels(["a;b", ""], where="column 'tags'", separator=";")
        [['a', 'b'], []]
    """
    if separator is not None and problem_type not in (None, MULTI_LABEL):
        raise DataError(
            f"a label separator is for several labels in a cell, and the problem type is "
            f"{problem_type}; leave one of them out"
        )
    values = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    several = separator is not None or problem_type == MULTI_LABEL
    _check_cells(values, where, blank_is_none=several)
    if problem_type == REGRESSION:
        return _parse_numbers(values, where)
    if values and isinstance(values[0], list | tuple):
        if problem_type == SINGLE_LABEL:
            raise DataError(
                f"{where} must hold one label a document for {problem_type}, and holds lists; "
                f"choose problem type {MULTI_LABEL}"
            )
        if any(is_missing(item) for value in values for item in value):
            raise DataError(
                f"{where} must hold lists of labels, and one holds a blank; leave it out"
            )
        return [[_spell(item) for item in value] for value in values]
    if several:
        parts = [_spell(value).split(separator or LABEL_SEPARATOR) for value in values]
        return [[part.strip() for part in cell if part.strip()] for cell in parts]
    if problem_type is None:
        _refuse_measurements(values, where)
    return [_spell(value) for value in values]


def _check_cells(values: list[Any], where: str, *, blank_is_none: bool) -> None:
    """Refuse missing labels and mixed kinds; a blank cell may stand for no label of several."""
    missing = [
        row
        for row, value in enumerate(values)
        if is_missing(value) and not (blank_is_none and isinstance(value, str))
    ]
    if missing:
        raise DataError(
            f"every document needs a label, and {where} has none in {name_rows(missing)}; "
            "fill them in or leave these rows out"
        )
    for kind in (str, bool, list | tuple):
        odd = [row for row in range(len(values)) if isinstance(values[row], kind)]
        if odd and len(odd) < len(values):
            other = next(value for value in values if not isinstance(value, kind))
            raise DataError(
                f"{where} must hold one kind of label, and has both {values[odd[0]]!r} and "
                f"{other!r}; make them alike"
            )


def _parse_numbers(values: list[Any], where: str) -> list[float]:
    numbers = [as_number(value) for value in values]
    for row, number in enumerate(numbers):
        if number is None or not math.isfinite(number):
            raise DataError(
                f"{where} must hold finite numbers for regression, and row {row + 1} holds "
                f"{values[row]!r}; correct it or choose another problem type"
            )
    return numbers


def _refuse_measurements(values: list[Any], where: str) -> None:
    # A column of 0.5, 0.73 and so on is almost surely something to regress on; taken as names it
    # would train a class for each number without a word.
    numbers = [as_number(value) for value in values]
    odd = [row for row, number in enumerate(numbers) if number is not None and number % 1 != 0]
    if odd and None not in numbers:
        raise DataError(
            f"{where} holds numbers, and {values[odd[0]]!r} in row {odd[0] + 1} is no class name; "
            f"fill it in if it is missing, or choose problem type {REGRESSION} to predict numbers, "
            f"or {SINGLE_LABEL} to take each as a name"
        )


def _spell(value: Any) -> str:
    if not isinstance(value, str | int | float | decimal.Decimal):
        raise DataError(f"a label must be text or a number, and one is {value!r}; correct it")
    # 2.0 is the class "2"; text and booleans keep their spelling.
    whole = not isinstance(value, str | int) and value % 1 == 0
    return str(int(value)) if whole else str(value)
