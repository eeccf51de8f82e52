"""A model's decisions as columns of a table: the same names wherever predictions are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tersely.classifier import Classifier

__all__ = ["DIGITS", "prediction_arrays", "prediction_columns"]

DIGITS = 6  # what float32 can hold of a probability; more would be noise


def prediction_columns(
    classifier: Classifier, logits: np.ndarray, *, every: bool = False
) -> dict[str, Any]:
    """What was decided for each document, by column.

    Args:
        classifier: the trained classifier.
        logits: `(documents, labels)`.
        every: also a column `probability_<label>` for each label.

    Returns:
        `label` and its probability `score`, lists where several labels may hold; `prediction`
        alone for a regression.

    Raises:
        ModelError: if a regression model is asked for the probability of every label.
    """
    decided = classifier.decide(logits)
    if classifier.label_space.problem_type == "regression" and not every:
        return {"prediction": [round(value, DIGITS) for value in decided]}
    shares = classifier.probabilities(logits).astype(np.float64).round(DIGITS)
    columns: dict[str, Any] = {"label": decided, "score": _scores(classifier, decided, shares)}
    if every:
        names = classifier.classes_
        columns |= {f"probability_{name}": shares[:, i] for i, name in enumerate(names)}
    return columns


def prediction_arrays(
    classifier: Classifier, logits: np.ndarray, *, every: bool = False
) -> dict[str, pa.Array]:
    """The columns of `prediction_columns` as Arrow's, of the same types for any number of rows."""
    several = classifier.label_space.problem_type == "multi_label_classification"
    types: dict[str, pa.DataType] = {"label": pa.string(), "score": pa.float64()}
    if several:
        types = {name: pa.list_(data_type) for name, data_type in types.items()}
    columns = prediction_columns(classifier, logits, every=every)
    return {
        name: pa.array(values, types.get(name, pa.float64())) for name, values in columns.items()
    }


def _scores(classifier: Classifier, decided: list[Any], shares: np.ndarray) -> list[Any]:
    """The probability of each label that was decided for."""
    place = classifier.label_space.label2id
    if classifier.label_space.problem_type == "multi_label_classification":
        return [
            [float(row[place[name]]) for name in names]
            for names, row in zip(decided, shares, strict=True)
        ]
    return [float(row[place[name]]) for name, row in zip(decided, shares, strict=True)]
