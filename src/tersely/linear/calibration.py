"""From margins to probabilities, by documents that the model was not fitted on."""

from dataclasses import dataclass

import numpy as np

from tersely.errors import require


@dataclass(frozen=True)
class Calibration:
    """What makes logits of margins `(documents, classes)`: `(margins + shifts) / temperature`."""

    temperature: float
    shifts: np.ndarray

    def logits(self, margins: np.ndarray) -> np.ndarray:
        """Return the logits."""
        return (margins + self.shifts) / self.temperature


def calibrate(
    margins: np.ndarray,
    wanted: np.ndarray,
    weight: np.ndarray,
    several: bool,
    *,
    shifted: bool = True,
) -> Calibration:
    """Fit a temperature, and of several labels a shift for each where they are `shifted`.

    A machine of balanced classes has its zero where the label would be as likely as not if half of
    the documents had it. With one label a document the classes compete, and the temperature does.

    As in Platt's scaling (1999), targets are a little short of certain, as if one more document had
    been answered at random: margins that are all right would have no end of confidence.
    `margins` and `wanted` (bool) are `(documents, classes)`, `weight` is `(documents,)`.
    """
    minimize = require("scipy.optimize", "train").minimize
    documents, classes = wanted.shape
    targets = wanted + (1 / (2 if several else classes) - wanted) / (documents + 1)
    unit = np.abs(margins).mean() or 1.0

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        shifts = parameters[1:]
        scaled = np.exp(parameters[0]) * margins / unit
        logits = scaled + shifts
        losses, chances = _losses(logits, targets, several)
        surplus = weight[:, None] * (chances - targets)
        # A shift is worth as much as one document: a label that few have keeps to its margins.
        slopes = surplus.sum(axis=0) + shifts if several and shifted else np.zeros(classes)
        total = (weight[:, None] * losses).sum() + (shifts**2).sum() / 2
        return float(total), np.array([(surplus * scaled).sum(), *slopes])

    bounds = [(-10.0, 10.0), *[(-20.0, 20.0)] * classes]
    found = minimize(loss, np.zeros(1 + classes), jac=True, method="L-BFGS-B", bounds=bounds).x
    temperature = float(unit / np.exp(found[0]))
    return Calibration(temperature, found[1:] * temperature)


def fit_stacking(
    logits: np.ndarray, evidence: np.ndarray, wanted: np.ndarray, several: bool
) -> tuple[float, float]:
    """Return the temperature and the weight of `logits / temperature + weight * evidence`.

    They are those of the least log-loss on documents that neither model was fitted on; the weight
    is 0 where the evidence, the linear stage's log-probabilities (of several labels its log-odds),
    adds nothing. All are `(documents, classes)`, `wanted` bool; targets are as in `calibrate`.
    """
    minimize = require("scipy.optimize", "train").minimize
    documents, classes = wanted.shape
    targets = wanted + (1 / (2 if several else classes) - wanted) / (documents + 1)
    unit = np.abs(logits).mean() or 1.0

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, weight = parameters
        both = slope * logits / unit + weight * evidence
        losses, chances = _losses(both, targets, several)
        surplus = chances - targets
        slopes = (surplus * logits).sum() / unit, (surplus * evidence).sum()
        return losses.sum() / documents, np.array(slopes) / documents

    bounds = [(1e-4, 1e4), (0.0, 20.0)]
    slope, weight = minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(unit / slope), float(weight)


def _losses(
    logits: np.ndarray, targets: np.ndarray, several: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-loss of each class and its chance, both `(documents, classes)`."""
    special = require("scipy.special", "train")
    if several:
        return np.logaddexp(0, logits) - targets * logits, special.expit(logits)
    logs = special.log_softmax(logits, axis=1)
    return -targets * logs, np.exp(logs)
