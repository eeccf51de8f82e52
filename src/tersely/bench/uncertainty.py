"""How sure the quality figures are: bootstrap intervals, paired comparisons.

All contenders are resampled with the same draws of documents, so their intervals can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tersely.errors import require
from tersely.text.metrics import predict_from_logits, right_documents

__all__ = ["Comparison", "Interval", "compare", "quality_intervals"]

Interval = tuple[float, float]
"""The lower and upper end of a 95 % interval."""

RESAMPLES = 1000
"""Draws of the bootstrap: enough for ends that are steady to a tenth of the interval's width."""

_ENDS = (2.5, 97.5)


@dataclass(frozen=True)
class Comparison:
    """A contender's correct predictions against the baseline's, document by document.

    Attributes:
        better: documents that only the contender has right.
        worse: documents that only the baseline has right.
        difference: of the accuracies, contender minus baseline.
        interval: of the difference, by paired bootstrap.
        p_value: of the exact McNemar test, two-sided.
    """

    better: int
    worse: int
    difference: float
    interval: Interval
    p_value: float


def quality_intervals(
    logits: np.ndarray, labels: np.ndarray, problem_type: str, *, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap intervals (percentiles, 95 %) of accuracy and of macro and micro F1.

    Args:
        logits: `(documents, labels)`.
        labels: as `evaluate_logits` takes them.
        problem_type: as `evaluate_logits` takes it; of a regression nothing is resampled.
        seed: of the draws.

    Example:
        >>> logits = np.eye(2)[[0, 1] * 50]
        >>> quality_intervals(logits, [0, 1] * 50, "single_label_classification")["accuracy"]
        (1.0, 1.0)
    """
    if problem_type == "regression":
        return {}
    predicted, wanted, fixed = _as_sets(logits, labels, problem_type)
    weights = _draws(len(wanted), seed)
    right = (predicted == wanted).all(axis=1)
    true = weights @ (predicted & wanted)
    both = weights @ predicted.astype(float) + weights @ wanted.astype(float)
    with np.errstate(invalid="ignore"):
        f1 = np.where(both > 0, 2 * true / both, 0.0)
    # Of single labels those count that occur or are predicted, as in `evaluate_logits`.
    counted = np.ones_like(both, dtype=bool) if fixed else both > 0
    macro = (f1 * counted).sum(1) / np.maximum(counted.sum(1), 1)
    micro = 2 * true.sum(1) / np.maximum(both.sum(1), 1)
    found = {"accuracy": weights @ right / len(right), "macro_f1": macro, "micro_f1": micro}
    return {name: _ends(values) for name, values in found.items()}


def compare(
    logits: np.ndarray,
    base: np.ndarray,
    labels: np.ndarray,
    problem_type: str,
    *,
    seed: int = 0,
) -> Comparison | None:
    """Compare the correct predictions of a contender with the baseline's; None for a regression.

    Example:
        >>> base, mine = np.eye(2)[[0, 0, 0, 0]], np.eye(2)[[0, 0, 0, 1]]
        >>> found = compare(mine, base, [0, 0, 0, 1], "single_label_classification")
        >>> found.better, found.worse, found.difference, found.p_value
        (1, 0, 0.25, 1.0)
    """
    if problem_type == "regression":
        return None
    mine, theirs = (right_documents(each, labels, problem_type) for each in (logits, base))
    better, worse = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    test = require("scipy.stats", "bench").binomtest
    gains = mine.astype(float) - theirs
    return Comparison(
        better=better,
        worse=worse,
        difference=float(gains.mean()),
        interval=_ends(_draws(len(gains), seed) @ gains / len(gains)),
        p_value=float(test(worse, better + worse).pvalue) if better + worse else 1.0,
    )


def _as_sets(
    logits: np.ndarray, labels: np.ndarray, problem_type: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Predicted and wanted labels as bool `(documents, labels)`; whether absent ones count."""
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    if problem_type == "multi_label_classification":
        return predicted.astype(bool), wanted.astype(bool), True
    names = np.union1d(predicted, wanted)
    return predicted[:, None] == names, wanted[:, None] == names, False


def _draws(documents: int, seed: int) -> np.ndarray:
    """How often each document is drawn, `(RESAMPLES, documents)`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(documents, np.full(documents, 1 / documents), RESAMPLES).astype(
        np.float64
    )


def _ends(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, _ENDS)
    return float(low), float(high)
