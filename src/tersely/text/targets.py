"""Cells of a label column turned into labels: one string, several strings, or a number.

A label keeps its spelling where it was text. Numbers and booleans become text, because a class
is a name; a number that is to be predicted as a number needs problem type regression.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tersely.errors import DataError, name_rows
from tersely.text.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL, as_number

__all__ = ["LABEL_SEPARATOR", "Labels", "is_missing", "kind_of", "parse_labels", "refuse_mixture"]

Labels = list[str] | list[list[str]] | list[float]
LABEL_SEPARATOR = "|"  # rarer inside label names than a comma, a semicolon or a space

_STRING, _NUMBER, _BOOLEAN, _LIST = "a string", "a number", "true or false", "a list"


def parse_labels(
    cells: Sequence[Any],
    *,
    where: str,
    problem_type: str | None = None,
    separator: str | None = None,
) -> Labels:
    """Turn the cells of a label column into labels of one kind.

    Args:
        cells: strings, numbers, booleans or lists of them, one a document.
        where: what to call the column in messages.
        problem_type: one of transformers' problem types; None takes lists as several labels
            and everything else as one.
        separator: splits strings into several labels; `"|"` where the problem type asks for
            several labels and no separator is given.

    Returns:
        Strings, lists of strings, or floats for regression.

    Raises:
        DataError: if a label is missing, the kinds are mixed, or a cell does not fit.

    Example:
        >>> parse_labels([1.0, 2.0], where="column 'stars'")
        ['1', '2']
        >>> parse_labels(["a;b", ""], where="column 'tags'", separator=";")
        [['a', 'b'], []]
    """
    values = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    if separator is not None and problem_type not in (None, MULTI_LABEL):
        raise DataError(
            f"a label separator is for several labels in a cell, and the problem type is "
            f"{problem_type}; leave one of them out"
        )
    several = separator is not None or problem_type == MULTI_LABEL
    _refuse_missing(values, where, blank_is_missing=not several)
    kind = refuse_mixture(values, where)
    if problem_type == REGRESSION:
        return _parse_numbers(values, where)
    if kind == _LIST:
        return _parse_lists(values, where, problem_type)
    if several:
        return [_split(_spell(value), separator or LABEL_SEPARATOR) for value in values]
    _refuse_measurements(values, where, problem_type)
    return [_spell(value) for value in values]


def is_missing(value: Any) -> bool:
    """Say whether a cell holds nothing: null, a float that is not a number, or blank text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def kind_of(value: Any) -> str:
    """Name the kind of a cell for a message."""
    if isinstance(value, str):
        return _STRING
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float | decimal.Decimal):
        return _NUMBER
    if isinstance(value, list | tuple):
        return _LIST
    return f"a value of type {type(value).__name__}"


def refuse_mixture(values: Sequence[Any], where: str) -> str | None:
    """Return the one kind of all cells, or None where there is no cell.

    Raises:
        DataError: if there are several kinds, with the first row of each.
    """
    first_rows: dict[str, int] = {}
    for row, value in enumerate(values, start=1):
        first_rows.setdefault(kind_of(value), row)
    if len(first_rows) > 1:
        found = ", ".join(f"{kind} in row {row}" for kind, row in first_rows.items())
        raise DataError(f"{where} must hold one kind of value, and has {found}; make them alike")
    return next(iter(first_rows), None)


def _refuse_missing(values: list[Any], where: str, *, blank_is_missing: bool) -> None:
    missing = [
        row
        for row, value in enumerate(values)
        if is_missing(value) and (blank_is_missing or not isinstance(value, str))
    ]
    if missing:
        raise DataError(
            f"every document needs a label, and {where} has none in {name_rows(missing)}; "
            "fill them in or leave these rows out"
        )


def _parse_numbers(values: list[Any], where: str) -> list[float]:
    numbers = []
    for row, value in enumerate(values, start=1):
        kind = kind_of(value)
        number = as_number(value) if kind in (_STRING, _NUMBER) else None
        if number is None or not math.isfinite(number):
            raise DataError(
                f"{where} must hold finite numbers for regression, and row {row} holds "
                f"{value!r}; correct it or choose another problem type"
            )
        numbers.append(number)
    return numbers


def _parse_lists(values: list[Any], where: str, problem_type: str | None) -> list[list[str]]:
    if problem_type == SINGLE_LABEL:
        raise DataError(
            f"{where} must hold one label a document for {problem_type}, and holds lists; "
            f"choose problem type {MULTI_LABEL}"
        )
    items = [(row, item) for row, value in enumerate(values, start=1) for item in value]
    bad = next((row for row, item in items if is_missing(item) or kind_of(item) == _LIST), None)
    if bad is not None:
        raise DataError(
            f"{where} must hold flat lists of labels, and the list in row {bad} holds a null, a "
            "blank or another list; correct it"
        )
    first_rows: dict[str, int] = {}
    for row, item in items:
        first_rows.setdefault(kind_of(item), row)
    if len(first_rows) > 1:
        found = ", ".join(f"{kind} in row {row}" for kind, row in first_rows.items())
        raise DataError(f"the lists of {where} must hold one kind of value, and have {found}")
    return [[_spell(item) for item in value] for value in values]


def _refuse_measurements(values: list[Any], where: str, problem_type: str | None) -> None:
    # A column of 0.5, 0.73 and so on is almost surely something to regress on; taken as names it
    # would train a class for each number without a word.
    numbers = [
        as_number(value) if kind_of(value) in (_STRING, _NUMBER) else None for value in values
    ]
    if problem_type is not None or any(number is None for number in numbers):
        return
    unknown = [row for row, number in enumerate(numbers) if math.isnan(number)]
    if unknown:
        raise DataError(
            f"every document needs a label, and {where} holds 'nan' among numbers in "
            f"{name_rows(unknown)}; fill them in or leave these rows out"
        )
    fraction = next((row for row, number in enumerate(numbers) if number % 1), None)
    if fraction is not None:
        raise DataError(
            f"{where} holds numbers with fractions (row {fraction + 1}: {values[fraction]!r}), "
            f"which are no class names; choose problem type {REGRESSION}, or {SINGLE_LABEL} to "
            "take each number as a name"
        )


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _spell(value: Any) -> str:
    kind = kind_of(value)
    if kind == _NUMBER and not isinstance(value, int) and value % 1 == 0:
        return str(int(value))
    if kind in (_STRING, _NUMBER, _BOOLEAN):
        return str(value)
    raise DataError(f"a label must be text or a number, and one is {kind}: {value!r}")
