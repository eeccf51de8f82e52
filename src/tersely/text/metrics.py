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
from tersely.text.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL


def predict_from_logits(
    logits: np.ndarray, problem_type: str = SINGLE_LABEL, *, like: np.ndarray | None = None
) -> np.ndarray:
    """Return the prediction of logits `(documents, labels)`.

    It is label indices `(documents,)`; or 0 and 1 `(documents, labels)` where the sigmoid exceeds
    one half; or, for regression, the logits themselves `(documents, 1)`. `like` are labels to
    compare with. Of several labels they may have further columns, for labels that the model does
    not know (see `LabelSpace.encode`); the predictions get as many, all 0.
    """
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
    more = 0 if like is None else max(0, like.shape[1] - logits.shape[1])
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
    import torch

    wide = torch.from_numpy(logits.astype(np.float64))
    alone = problem_type == MULTI_LABEL or logits.shape[1] == 1
    return (wide.sigmoid() if alone else wide.softmax(1)).numpy().astype(logits.dtype)


def evaluate_logits(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL
) -> dict[str, float]:
    """Compare logits with labels, as `LabelSpace.encode` gives them.

    Found are shares between 0 and 1: `accuracy` (of several labels: all of them right), `macro_f1`
    (over the labels that occur or are predicted; of several labels: over all, an absent one
    counting 0) and `micro_f1`. For regression `mse`, and `pearson` and `spearman`, which are nan
    where one side is constant.
    """
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    if problem_type == REGRESSION:
        predicted = predicted[:, 0]
    if wanted.shape != predicted.shape or len(wanted) == 0:
        raise DataError(
            f"expected labels of shape {predicted.shape}, at least one document, for {problem_type}"
            f", got {wanted.shape}; give each row of the logits its label"
        )
    if problem_type == REGRESSION:
        rank = require("scipy.stats", "train").rankdata
        constant = np.ptp(predicted) == 0 or np.ptp(wanted) == 0
        scores = {"mse": float(np.mean((predicted.astype(np.float64) - wanted) ** 2))}
        for name, scale in (("pearson", np.asarray), ("spearman", rank)):
            sides = scale(predicted), scale(wanted)
            scores[name] = math.nan if constant else float(np.corrcoef(*sides)[0, 1])
        return scores
    metrics = require("sklearn.metrics", "train")
    # A trainer hands several labels over as 0.0 and 1.0.
    wanted = wanted.astype(np.int64)
    scores = {"accuracy": float(metrics.accuracy_score(wanted, predicted))}
    for average in ("macro", "micro"):
        score = metrics.f1_score(wanted, predicted, average=average, zero_division=0)
        scores[f"{average}_f1"] = float(score)
    return scores


def calibration_error(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL, bins: int = 15
) -> float | None:
    """Return the expected calibration error (Guo et al., arXiv 1706.04599); None for a regression.

    Predictions are sorted into bins of equal width by their confidence; the error is the mean
    distance between confidence and share of right ones, weighted by the bins' sizes. Where several
    labels may hold, each decision about a label counts as a prediction.
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
