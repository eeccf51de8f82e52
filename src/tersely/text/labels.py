"""Labels: the cells of a column turned into labels of one kind, and labels turned into numbers.

A label keeps its spelling where it was text. Numbers and booleans become text, because a class
is a name; a number that is to be predicted as a number needs problem type regression. Problem types
carry transformers' names, so that a label space and a model's configuration agree.
"""

import decimal
import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from tersely.errors import DataError, name_all, name_rows, warn

Labels = list[str] | list[list[str]] | list[float]
SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
PROBLEM_TYPES = (SINGLE_LABEL, MULTI_LABEL, REGRESSION)
IGNORED_LABEL = -100  # what torch's cross-entropy leaves out of its mean
LABEL_SEPARATOR = "|"  # rarer inside label names than a comma, a semicolon or a space
_NULLS = {"nan", "-nan", "na", "n/a", "<na>", "#n/a", "#na", "null", "nat"}  # in small letters
_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # of Unicode's categories
_KINDS = {str: SINGLE_LABEL, list: MULTI_LABEL, tuple: MULTI_LABEL, float: REGRESSION}


def as_number(cell: Any) -> float | None:
    """Return the number a cell spells, or None where it spells none."""
    try:
        return None if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def is_blank(text: str) -> bool:
    """Say whether a text holds nothing but space and characters without a width or a form."""
    return all(unicodedata.category(character) in _UNSEEN for character in text)


def is_missing(cell: Any) -> bool:
    """Say whether a cell holds nothing: null, a float that is not a number, or blank text."""
    if isinstance(cell, str):
        return is_blank(cell)
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def are_whole(cells: Sequence[Any]) -> bool:
    """Say whether labels are whole numbers throughout, not names that spell them."""
    return all(isinstance(cell, int | np.integer) and not isinstance(cell, bool) for cell in cells)


@dataclass(frozen=True)
class LabelSpace:
    """The labels a model tells apart: their names in the order of its outputs, and their kind.

    A regression has the one name of the predicted number.

    Example:
        >>> LabelSpace.infer(["pos", "neg", "pos"]).encode(["pos", "neg"])
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
    def infer(cls, labels: Sequence[Any] | None, problem_type: str | None = None) -> Self:
        """Collect the label space of training labels, as `Documents.labels` holds them.

        Names that are all numbers are in the numbers' order, others in alphabetical order. The
        problem type is by default what the labels' type says.
        """
        if not labels:
            raise DataError(
                "labels are needed to know the classes, and there are none; name the label column"
            )
        space = cls((), problem_type or _KINDS.get(type(labels[0])))
        space._check_kind(labels)
        if space.problem_type == REGRESSION:
            return cls(("score",), REGRESSION)
        found = Counter(space._single(labels))
        names = sorted(found)
        if len(names) < 2:
            found = f"only {names[0]!r}" if names else "no label at all"
            raise DataError(
                f"at least two classes are needed to train, and the labels hold {found}; "
                "check the label column or add documents of another class"
            )
        alike: dict[str, list[str]] = {}
        for name in names:
            alike.setdefault(" ".join(name.casefold().split()), []).append(name)
        if twins := [each for own in alike.values() if len(own) > 1 for each in own]:
            warn(
                f"{len(twins)} labels differ from others only by case or spaces: "
                f"{name_all(twins)}; each counts as a separate class, so unify them if they are one"
            )
        # Not refused: "nan" is Min Nan by its language code, "NA" Namibia.
        if nulls := [name for name in names if name.strip().casefold() in _NULLS]:
            warn(
                f"{sum(found[name] for name in nulls):,} of {found.total():,} labels are "
                f"{name_all(nulls)}, as missing values are often written; each counts as a class, "
                "so leave these documents out if they have no label"
            )
        numbers = [as_number(name) for name in names]
        if all(number is not None and math.isfinite(number) for number in numbers):
            names.sort(key=float)
        return cls(tuple(names), space.problem_type)

    @property
    def label2id(self) -> dict[str, int]:
        """The output position of each name, as in a model's configuration."""
        return {name: index for index, name in enumerate(self.names)}

    def encode(
        self, labels: Sequence[Any], *, unseen: Literal["error", "skip"] = "error"
    ) -> np.ndarray:
        """Turn labels into the arrays that losses and metrics take.

        Labels that this space does not hold are refused, or with `unseen="skip"` counted in a
        warning and encoded so that metrics count them as errors: a single label as -100, and of
        several labels each unseen one in a further column, which no model can predict. Where all
        of them are unseen they are refused either way. The array is int64 `(documents,)` for single
        labels, float32 `(documents, labels)` of zeros and ones for several, float32 `(documents,)`
        for regression.
        """
        self._check_kind(labels)
        if self.problem_type == REGRESSION:
            return np.asarray(labels, dtype=np.float32)
        positions = self.label2id
        found = Counter(self._single(labels))
        new = Counter({name: count for name, count in found.items() if name not in positions})
        if new and len(new) == len(found):
            # A measure over no label that could be right would be 0, or prove whatever is asked.
            raise DataError(
                "the model knows none of the data's labels: the data has "
                f"{name_all(new, limit=5)}, and the model knows {name_all(self.names, limit=5)}; "
                "check the label column, its spelling, and whether this is the model"
            )
        if new:
            named = (f"{name} ({count})" for name, count in new.most_common())
            said = (
                f"{new.total()} labels of {len(new)} kinds were never seen in training: "
                f"{name_all(named, limit=5)}"
            )
            if unseen == "error":
                raise DataError(f"{said}; the model knows {name_all(self.names)}")
            warn(f"{said}; they count as errors")
        if self.problem_type == SINGLE_LABEL:
            return np.array([positions.get(label, IGNORED_LABEL) for label in labels], np.int64)
        positions |= {name: len(self.names) + number for number, name in enumerate(new)}
        encoded = np.zeros((len(labels), len(positions)), np.float32)
        for row, document_labels in enumerate(labels):
            encoded[row, [positions[name] for name in document_labels]] = 1.0
        return encoded

    def _check_kind(self, labels: Sequence[Any]) -> None:
        kinds = {_KINDS.get(type(label), type(label).__name__) for label in labels}
        if not kinds <= {self.problem_type}:
            raise DataError(
                f"labels for {self.problem_type} were expected, and these are for "
                f"{name_all(sorted(kinds))}; read the data with problem_type={self.problem_type!r}"
            )

    def _single(self, labels: Sequence[Any]) -> Sequence[str]:
        single = self.problem_type == SINGLE_LABEL
        return labels if single else list(itertools.chain.from_iterable(labels))


def parse_labels(cells: Sequence[Any], where: str, problem_type: str | None = None) -> Labels:
    """Turn the cells of a label column, called `where` in messages, into labels of one kind.

    Cells of several labels are lists, or text with a `|` between the labels.
    """
    values = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    several = problem_type == MULTI_LABEL
    missing = [row for row, value in enumerate(values) if is_missing(value)]
    if several:
        missing = [row for row in missing if not isinstance(values[row], str)]
    if missing:
        raise DataError(
            f"every document needs a label, and {where} has none in {name_rows(missing)}; "
            "fill them in or leave these rows out"
        )
    lists = [isinstance(value, list | tuple) for value in values]
    if any(lists) and problem_type in (None, MULTI_LABEL):
        single = [not each for each in lists]
        _refuse(values, single, f"{where} must hold lists in all rows", "make them alike")
        return [[_spell(item) for item in value] for value in values]
    if several:
        # A blank cell says that there is none.
        cells = ("" if is_missing(value) else _spell(value) for value in values)
        parts = (cell.split(LABEL_SEPARATOR) for cell in cells)
        return [[part.strip() for part in cell if part.strip()] for cell in parts]
    numbers = [as_number(value) for value in values]
    if problem_type == REGRESSION:
        _refuse(
            values,
            [number is None or not math.isfinite(number) for number in numbers],
            f"{where} must hold finite numbers for regression",
            "correct it or choose another problem type",
        )
        return numbers
    if problem_type is None and None not in numbers:
        # Almost surely something to regress on; taken as names it would train a class for each
        # number without a word.
        _refuse(
            values,
            [number % 1 != 0 for number in numbers],
            f"{where} must hold whole numbers, where all are numbers, to take them for classes",
            f"fill it in if it is missing, or choose problem type {REGRESSION} to predict numbers, "
            f"or {SINGLE_LABEL} to take each as a name",
        )
    return [_spell(value) for value in values]


def _refuse(values: list[Any], odd: list[bool], expected: str, advice: str) -> None:
    if any(odd):
        row = odd.index(True)
        raise DataError(f"{expected}, and row {row + 1} holds {values[row]!r}; {advice}")


def _spell(value: Any) -> str:
    if is_missing(value) or not isinstance(value, str | int | float | decimal.Decimal):
        raise DataError(f"a label must be text or a number, and one is {value!r}; correct it")
    # 2.0 is the class "2"; text and booleans keep their spelling.
    whole = not isinstance(value, str | int) and value % 1 == 0
    return str(int(value)) if whole else str(value)
