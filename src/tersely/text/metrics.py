"""From logits to labels and probabilities, and how good they are.

The steps from logits (argmax, or a sigmoid at one half; softmax) are written here and nowhere else,
so that every figure that tersely reports is comparable with every other. Predicting takes numpy
alone; scikit-learn is imported where figures are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tersely.errors import DataError, require
from tersely.text.labels import MULTI_LABEL, PROBLEM_TYPES, REGRESSION, SINGLE_LABEL


def predict_from_logits(
    logits: np.ndarray, problem_type: str = SINGLE_LABEL, *, like: np.ndarray | None = None
) -> np.ndarray:
    """Turn logits into what a user would call the prediction.

    Args:
        logits: `(documents, labels)`.
        problem_type: one of `tersely.text.PROBLEM_TYPES`; single label by default.
        like: wanted labels that the predictions are to be compared with. Of several labels it may
            have more columns than the logits, for labels that the model does not know (see
            `LabelSpace.encode`); the predictions get as many, all 0.

    Returns:
        Label indices `(documents,)`; or 0 and 1 `(documents, labels)` where the sigmoid exceeds one
        half; or, for regression, the logits themselves `(documents, targets)`.

    Raises:
        DataError: if the logits are not a matrix, or the problem type is unknown.

    Example:
        >>> predict_from_logits(np.array([[0.2, 1.5], [3.0, -1.0]])).tolist()
        [1, 0]
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
        return logits
    predicted = (logits > 0).astype(np.int64)
    more = 0 if like is None or like.ndim != 2 else max(0, like.shape[1] - logits.shape[1])
    return np.pad(predicted, ((0, 0), (0, more)))


def right_documents(logits: np.ndarray, labels: Any, problem_type: str) -> np.ndarray:
    """Return which documents are predicted correctly, of several labels all of them, `(n,)` bool.

    Args:
        logits: `(documents, labels)`.
        labels: as `evaluate_logits` takes them.
        problem_type: one of `tersely.text.PROBLEM_TYPES`.
    """
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    return (predicted == wanted).reshape(len(predicted), -1).all(axis=1)


def labels_from_logits(
    logits: np.ndarray, problem_type: str, names: Sequence[str]
) -> list[str] | list[list[str]] | list[float]:
    """Return the predictions of `predict_from_logits` as users write labels.

    Args:
        logits: `(documents, labels)`.
        problem_type: one of `tersely.text.PROBLEM_TYPES`.
        names: the labels' names, in the order of the logits.

    Returns:
        A name a document; a list of names where several labels may hold; a number for a regression.

    Raises:
        DataError: as `predict_from_logits`, or for a regression of several targets.

    Example:
        >>> labels_from_logits(
        ...     np.array([[2.0, 1.0], [-1.0, -1.0]]), "multi_label_classification", ["a", "b"]
        ... )
        [['a', 'b'], []]
    """
    predicted = predict_from_logits(logits, problem_type)
    if problem_type == REGRESSION:
        if predicted.shape[1] != 1:
            raise DataError(
                f"expected a regression of one target, got one of {predicted.shape[1]}; take the "
                "logits, which are the numbers of all targets"
            )
        return [float(value) for value in predicted[:, 0]]
    if problem_type == MULTI_LABEL:
        return [[names[i] for i in np.flatnonzero(row)] for row in predicted]
    return [names[number] for number in predicted]


def scores_from_logits(logits: np.ndarray, problem_type: str | None) -> np.ndarray:
    """Return probabilities, as transformers' text classification pipeline makes them of logits.

    Args:
        logits: `(documents, labels)`.
        problem_type: of the configuration, None where it does not say.

    Returns:
        `(documents, labels)`: the logits for a regression; a sigmoid each where several labels may
        hold or there is but one; softmax otherwise.

    Example:
        >>> scores_from_logits(np.array([[0.0, 0.0]]), None).tolist()
        [[0.5, 0.5]]
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

    Args:
        logits: `(documents, labels)`.
        labels: label indices `(documents,)` for one label; 0 and 1 `(documents, labels)` for
            several, where further columns are labels that the model does not know; numbers
            `(documents,)` or `(documents, targets)` for regression.
        problem_type: one of `tersely.text.PROBLEM_TYPES`; single label by default.

    Returns:
        Shares between 0 and 1: `accuracy` (of several labels: all of them right), `macro_f1` (over
        the labels that occur or are predicted; of several labels: over all, an absent one counting
        0) and `micro_f1`. For regression `mse`, `pearson` and `spearman`, the mean over the
        targets; the two correlations are nan where one side is constant.

    Raises:
        DataError: if labels and logits do not fit each other, or there are no documents.
        MissingExtraError: if scikit-learn is not installed.

    Example:
        >>> scores = evaluate_logits(np.array([[2.0, 0.0], [0.0, 1.0]]), [0, 0])
        >>> scores["accuracy"]
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
        return _regression(predicted.astype(np.float64), wanted.astype(np.float64))
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

    Args:
        logits: `(documents, labels)`.
        labels: as `evaluate_logits` takes them.
        problem_type: one of `tersely.text.PROBLEM_TYPES`.
        bins: how many.

    Returns:
        A share, 0 for perfectly calibrated; None for a regression.

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


def _regression(predicted: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    rank = require("scipy.stats", "train").rankdata

    def correlation(left: np.ndarray, right: np.ndarray) -> float:
        """Pearson's r, or nan, without numpy's warning, where it is not defined."""
        if np.ptp(left) == 0 or np.ptp(right) == 0:
            return float("nan")
        return float(np.corrcoef(left, right)[0, 1])

    pairs = list(zip(predicted.T, wanted.T, strict=True))
    ranks = [(rank(left), rank(right)) for left, right in pairs]
    return {
        "mse": float(np.mean((predicted - wanted) ** 2)),
        "pearson": float(np.mean([correlation(*pair) for pair in pairs])),
        "spearman": float(np.mean([correlation(*pair) for pair in ranks])),
    }
