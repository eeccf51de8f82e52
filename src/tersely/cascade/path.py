"""The path of a cascade: thresholds from strict to loose, settled on documents for choosing.

What each stage would answer is known of every document, and so what a pair of thresholds costs and
how many answers it changes is counted, not measured. The path takes for each number of changes that
it allows the cheapest thresholds that are no stricter than those before.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

POINTS = 50
LOOSEST = 0.08
"""The share of changed answers, on the documents for choosing, at which a path ends."""
_GRID = 40  # thresholds of a stage that are tried
_PARTS = (0.2, 0.4, 0.6, 0.8)  # of those whom the first point answers, who are answered before it


class Path(NamedTuple):
    """Thresholds `(points, stages)`, and per document of each point its seconds and its changes."""

    thresholds: np.ndarray
    seconds: np.ndarray
    changes: np.ndarray


def find_path(
    confidence: np.ndarray, changes: np.ndarray, seconds: np.ndarray, points: int = POINTS
) -> Path:
    """Find the cheapest thresholds for more and more changed answers.

    Args:
        confidence: of each stage but the last in its answers, `(stages, documents)`.
        changes: what each of these answers counts against the stage, of the same shape: 1 for one
            that differs from the reference's; -1, where a gain may pay for a loss, for one that is
            right where the reference is wrong.
        seconds: that a stage takes for a document, `(stages + 1,)`, the reference last.
        points: how many, at most: equal neighbours are one.
    """
    grid = _grid(confidence)
    cost, lost = (np.empty(len(grid)) for _ in range(2))
    for row, thresholds in enumerate(grid):
        cost[row], lost[row] = _priced(confidence, changes, seconds, thresholds)
    # The first steps lie close together, where the strict limits are.
    allowed = LOOSEST * confidence.shape[1] * (np.arange(points) / (points - 1)) ** 2
    chosen: list[int] = []
    before = np.ones(len(confidence))
    for most in allowed:
        fits = (lost <= most) & (grid <= before).all(axis=1)
        best = int(np.flatnonzero(fits)[cost[fits].argmin()]) if fits.any() else None
        if best is not None and best not in chosen:
            chosen.append(best)
            before = grid[best]
    kept = grid[np.array(chosen, dtype=int)]
    points = np.concatenate([_stricter(confidence, kept[0]), kept])
    priced = np.array([_priced(confidence, changes, seconds, each) for each in points])
    return Path(points, priced[:, 0], priced[:, 1] / confidence.shape[1])


def marks(
    path: np.ndarray, confidence: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return who is answered early at each point, and what of the answer's stage is so.

    Args:
        path: thresholds `(points, stages)`.
        confidence: `(stages, documents)`.
        values: bool, of each stage's answers, `(stages, documents)`.

    Returns:
        Two arrays `(points, documents)` bool: answered early, and the value of the answering stage.
    """
    early = np.zeros((len(path), confidence.shape[1]), dtype=bool)
    found = np.zeros_like(early)
    for stage in range(len(confidence)):
        answered = ~early & (confidence[stage] > path[:, stage, None])
        found |= answered & values[stage]
        early |= answered
    return early, found


def _stricter(confidence: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return points that answer a part of those whom the first point of a path answers.

    That point is the boldest that changes nothing on the documents for choosing: on others it may
    change some, and a test that fails there would end the sequence at its start.
    """
    points = []
    for share in _PARTS:
        sure = [row[row > limit] for row, limit in zip(confidence, first, strict=True)]
        points.append([np.quantile(row, 1 - share) if len(row) else 1.0 for row in sure])
    return np.array(points)


def _grid(confidence: np.ndarray) -> np.ndarray:
    """Return thresholds to try, `(rows, stages)`: shares of answered documents, evenly apart."""
    shares = np.linspace(0, 1, _GRID)
    each = [np.unique([1.0, *np.quantile(stage, shares).clip(0, 1)]) for stage in confidence]
    return np.array(list(itertools.product(*each)))


def _priced(
    confidence: np.ndarray, changes: np.ndarray, seconds: np.ndarray, thresholds: np.ndarray
) -> tuple[float, float]:
    """Return seconds a document and the sum of changes at thresholds `(stages,)`."""
    left = np.ones(confidence.shape[1], dtype=bool)
    cost = lost = 0.0
    for stage, threshold in enumerate(thresholds):
        if threshold >= 1:
            continue
        cost += seconds[stage] * left.mean()
        answered = left & (confidence[stage] > threshold)
        lost += changes[stage, answered].sum()
        left &= ~answered
    return cost + seconds[-1] * left.mean(), lost
