"""The linear models that `fit_linear` chooses among: each wins on some data.

Each is a function from documents and their classes to a table of weights, and works with classes
that have no document, as a fold may leave them. Logistic regression is not among them: it was
behind the better of these on all of the three sets that were tried (R8 90.5 against 94.8, 1,000
medical abstracts in 23 classes 50.2 against 62.2), and took 42 s on those abstracts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tersely.errors import require

Weights = tuple[np.ndarray, np.ndarray]
"""Weights `(features, classes)` and bias `(classes,)`."""
Fit = Callable[[Any, np.ndarray, np.ndarray, bool], Weights]
"""From a sparse matrix `(documents, features)`, classes `(documents, classes)` bool, weights of
documents `(documents,)`, and whether a document may have several classes."""

# Chosen on the validation documents of BBC News, R8 and 20 Newsgroups, where smoothing of 0.03 to 1
# and costs of 0.1 to 3 were tried (2026-11-29).
SMOOTHING, COST = 0.1, 1.0


def naive_bayes(vectors: Any, wanted: np.ndarray, weight: np.ndarray, several: bool) -> Weights:
    """Fit complement naive Bayes (Rennie et al., 2003), for several labels each one's log-odds.

    A feature speaks against a class by the logarithm of its share in the documents of all *other*
    classes. Class frequencies play no part.
    """
    held = vectors.T @ (wanted * weight[:, None])
    total = np.asarray(vectors.T @ weight)[:, None]

    def logs(counts: np.ndarray) -> np.ndarray:
        smoothed = counts + SMOOTHING
        return np.log(smoothed) - np.log(smoothed.sum(axis=0))

    against = logs(total - held)
    # What all classes share changes no answer, and would cost the digits of a float16.
    weights = (logs(held) if several else against.mean(axis=1, keepdims=True)) - against
    weights[total[:, 0] == 0] = 0.0  # what no document holds says nothing
    return weights, np.zeros(wanted.shape[1])


def support_vectors(vectors: Any, wanted: np.ndarray, weight: np.ndarray, several: bool) -> Weights:
    """Fit support vector machines, each class against the others, rare classes weighted up."""
    classes = wanted.shape[1]
    weights = np.zeros((vectors.shape[1], classes))
    shares = np.average(wanted, axis=0, weights=weight)
    bias = np.where(shares > 0.5, 1.0, -1.0)  # of a class that all documents have, or none
    if several:
        for number in np.flatnonzero((shares > 0) & (shares < 1)):
            coefficients, intercept = _fit_svc(vectors, wanted[:, number], weight)
            weights[:, number], bias[number] = coefficients[0], intercept[0]
        return weights, bias
    present = np.flatnonzero(shares > 0)
    if len(present) > 1:
        coefficients, intercept = _fit_svc(vectors, wanted.argmax(axis=1), weight)
        if len(present) == 2:  # one row, for the second class against the first
            coefficients = np.concatenate([-coefficients, coefficients])
            intercept = np.concatenate([-intercept, intercept])
        weights[:, present], bias[present] = coefficients.T, intercept
    return weights, bias


def _fit_svc(vectors: Any, labels: np.ndarray, weight: np.ndarray) -> Weights:
    machine = require("sklearn.svm", "train").LinearSVC(
        C=COST, class_weight="balanced", dual=True, tol=1e-2, random_state=0
    )
    machine.fit(vectors, labels, sample_weight=weight)
    return machine.coef_, machine.intercept_


CANDIDATES: dict[str, Fit] = {"naive-bayes": naive_bayes, "svc": support_vectors}

BOTH = "both"
"""The sum of all of them, each calibrated, which is a linear model too and costs no fit more."""
