"""From logits to labels and probabilities, and how good they are.

The steps from logits (argmax, or a sigmoid at one half; softmax) are written here and nowhere else,
so that every figure that tersely reports is comparable with every other. Predicting takes numpy
alone; scikit-learn is imported where figures are computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tersely.errors import DataError, require
from tersely.text.labels import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL


def predict_from_logits(
    logits: np.ndarray, problem_type: str = SINGLE_LABEL, *, like: np.ndarray | None = None
) -> np.ndarray:
    """Return what a user would call the prediction of logits `(documents, labels)`.

    `like` are labels to compare with. Of several labels they may have further columns, for labels
    that the model does not know (see `LabelSpace.encode`); the predictions get as many, all 0.

    Returns:
        Label indices `(documents,)`; or 0 and 1 `(documents, labels)` where the sigmoid exceeds one
        half; or, for regression, the logits themselves `(documents, 1)`.
    """
    logits = np.asarray(logits)
    if problem_type not in PROBLEM_TYPES:
        raise DataError(
            f"expected a problem type out of {', '.join(PROBLEM_TYPES)}, got {problem_type!r}; "
            "set problem_type in the model's configuration"
        )
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise DataError(
            f"expected logits of shape (documents, labels), got {logits.shape}; "
            "give a matrix with one row per document"
        )
    if problem_type == SINGLE_LABEL:
        return logits.argmax(axis=1)
    if problem_type == REGRESSION:
        if logits.shape[1] != 1:
            raise DataError(
                f"expected a regression of one target, got one of {logits.shape[1]}; take the "
                "logits, which are the numbers of all targets"
            )
        return logits
    predicted = (logits > 0).astype(np.int64)
    more = 0 if like is None or like.ndim != 2 else max(0, like.shape[1] - logits.shape[1])
    return np.pad(predicted, ((0, 0), (0, more)))


def right_documents(logits: np.ndarray, labels: Any, problem_type: str) -> np.ndarray:
    """Return which documents are right, of several labels in all of them, `(documents,)` bool."""
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    return (predicted == wanted).reshape(len(predicted), -1).all(axis=1)


def labels_from_logits(
    logits: np.ndarray, problem_type: str, names: Sequence[str]
) -> list[str] | list[list[str]] | list[float]:
    """Return the predictions as users write labels, given the labels' names."""
    predicted = predict_from_logits(logits, problem_type)
    if problem_type == REGRESSION:
        return [float(value) for value in predicted[:, 0]]
    if problem_type == MULTI_LABEL:
        return [[names[i] for i in np.flatnonzero(row)] for row in predicted]
    return [names[number] for number in predicted]


def scores_from_logits(logits: np.ndarray, problem_type: str | None) -> np.ndarray:
    """Return probabilities, as transformers' text classification pipeline makes them of logits.

    They are the logits for a regression; a sigmoid each where several labels may hold or there is
    but one; softmax otherwise. All `(documents, labels)`.
    """
    if problem_type == REGRESSION:
        return logits
    wide = logits.astype(np.float64)
    if problem_type == MULTI_LABEL or logits.shape[1] == 1:
        # exp of a number that is not positive cannot overflow.
        small = np.exp(-np.abs(wide))
        return (np.where(wide >= 0, 1.0, small) / (1.0 + small)).astype(logits.dtype)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(logits.dtype)


def evaluate_logits(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL
) -> dict[str, float]:
    """Compare logits with the labels that were wanted.

    Labels are indices `(documents,)` for one label; 0 and 1 `(documents, labels)` for several,
    where further columns are labels that the model does not know; numbers for a regression.

    Returns:
        Shares between 0 and 1: `accuracy` (of several labels: all of them right), `macro_f1` (over
        the labels that occur or are predicted; of several labels: over all, an absent one counting
        0) and `micro_f1`. For regression `mse`, and `pearson` and `spearman`, which are nan where
        one side is constant.

    Example:
        >>> evaluate_logits(np.array([[2.0, 0.0], [0.0, 1.0]]), [0, 0])["accuracy"]
        0.5
    """
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    if problem_type == REGRESSION and wanted.ndim == 1:
        wanted = wanted[:, None]
    if wanted.shape != predicted.shape or len(wanted) == 0:
        raise DataError(
            f"expected labels of shape {predicted.shape}, at least one document, for {problem_type}"
            f", got {wanted.shape}; give each row of the logits its label"
        )
    if problem_type == REGRESSION:
        return _evaluate_numbers(predicted[:, 0], wanted[:, 0])
    metrics = require("sklearn.metrics", "train")
    # A trainer hands several labels over as 0.0 and 1.0.
    whole = wanted.astype(np.int64) if wanted.dtype.kind in "iubf" else None
    if whole is None or not np.array_equal(whole, wanted):
        raise DataError(
            f"expected labels that are whole numbers, got values of type {wanted.dtype}; "
            "map label names to indices first"
        )
    scores = {"accuracy": float(metrics.accuracy_score(whole, predicted))}
    for average in ("macro", "micro"):
        score = metrics.f1_score(whole, predicted, average=average, zero_division=0)
        scores[f"{average}_f1"] = float(score)
    return scores


def calibration_error(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL, bins: int = 15
) -> float | None:
    """Return the expected calibration error (Guo et al., arXiv 1706.04599).

    Predictions are sorted into bins of equal width by their confidence; the error is the mean
    distance between confidence and share of right ones, weighted by the bins' sizes. Where several
    labels may hold, each decision about a label counts as a prediction.

    Labels are as `evaluate_logits` takes them; a regression has no such error, None.

    Example:
        >>> calibration_error(np.array([[9.0, 0.0], [9.0, 0.0]]), [0, 1])
        0.499...
    """
    if problem_type == REGRESSION:
        return None
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    shares = scores_from_logits(np.asarray(logits, dtype=np.float64), problem_type)
    if problem_type == MULTI_LABEL:
        # Of a label that the model does not know, it is sure that it does not hold.
        shares = np.pad(shares, ((0, 0), (0, predicted.shape[1] - shares.shape[1])))
        confidence = np.maximum(shares, 1 - shares).ravel()
        right = (predicted == wanted).ravel()
    else:
        confidence, right = shares.max(axis=1), predicted == wanted
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    surplus = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))


def _evaluate_numbers(predicted: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    rank = require("scipy.stats", "train").rankdata
    scores = {"mse": float(np.mean((predicted.astype(np.float64) - wanted) ** 2))}
    constant = np.ptp(predicted) == 0 or np.ptp(wanted) == 0
    for name, sides in (
        ("pearson", (predicted, wanted)),
        ("spearman", (rank(predicted), rank(wanted))),
    ):
        scores[name] = math.nan if constant else float(np.corrcoef(*sides)[0, 1])
    return scores
