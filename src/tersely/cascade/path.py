"""The path of a cascade: thresholds from strict to loose, settled on documents for choosing.

What each stage would answer is known of every document, and so what a pair of thresholds costs and
how many answers it changes is counted, not measured. The path goes through the cheapest thresholds
for each number of changes, each no stricter than those before, and on the way from one to the next
it answers more and more documents, so that each point is about as much faster as the one before
was: what is proven ends close to where it could, however few changes tell the first ones apart.
"""

import itertools
from typing import NamedTuple

import numpy as np

POINTS = 50
LOOSEST = 0.08  # of changed answers, on the documents for choosing: there a path ends
_GRID = 40  # thresholds of a stage that are tried
_BETWEEN = 20  # points that are tried on the way from one number of changes to the next


class Path(NamedTuple):
    """Thresholds `(points, stages)`, and what each point takes for a document, in seconds."""

    thresholds: np.ndarray
    seconds: np.ndarray


def find_path(confidence: np.ndarray, changes: np.ndarray, seconds: np.ndarray) -> Path:
    """Find the cheapest thresholds for more and more changed answers, at `POINTS` points at most.

    Of few documents, each one more that is answered is a point.

    Args:
        confidence: of each stage but the last in its answers, `(stages, documents)`.
        changes: what each of these answers counts against the stage, of the same shape: 1 for one
            that differs from the reference's; -1, where a gain may pay for a loss, for one that is
            right where the reference is wrong.
        seconds: that a stage takes for a document, `(stages + 1,)`, the reference last.
    """
    grid = _grid(confidence)
    cost, lost = _priced(confidence, changes, seconds, grid)
    # The first steps lie close together, where the strict limits are.
    allowed = LOOSEST * confidence.shape[1] * (np.arange(POINTS) / (POINTS - 1)) ** 2
    steps = [np.ones((1, len(confidence)))]
    for most in allowed:
        before = steps[-1][-1]
        fits = (lost <= most) & (grid <= before).all(axis=1)
        best = np.flatnonzero(fits)[cost[fits].argmin()]  # of at least the last one
        way = _between(confidence, before, grid[best])
        steps.append(way[_priced(confidence, changes, seconds, way)[1] <= lost[best]])
    found = np.concatenate(steps[1:])
    cost, _ = _priced(confidence, changes, seconds, found)
    # A stage that has just come in costs more than it saves.
    least = np.minimum.accumulate([seconds[-1], *cost])
    faster = np.flatnonzero(cost < least[:-1]) if cost.min() < seconds[-1] else np.arange(1)
    speeds = -np.log(cost[faster])
    at = np.searchsorted(speeds, np.linspace(speeds[0], speeds[-1], POINTS) - 1e-9)
    kept = faster[np.unique(at)]
    return Path(found[kept], cost[kept])


def marks(
    path: np.ndarray, confidence: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return who is answered early at each point, and the value of the stage that answers.

    Both are bool `(points, documents)`, of thresholds `(points, stages)` and each stage's
    confidence and values (bool), `(stages, documents)`.
    """
    early = np.zeros((len(path), confidence.shape[1]), dtype=bool)
    found = np.zeros_like(early)
    for stage in range(len(confidence)):
        answered = ~early & (confidence[stage] > path[:, stage, None])
        found |= answered & values[stage]
        early |= answered
    return early, found


def _between(confidence: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return points `(_BETWEEN, stages)` up to the second: equal steps in whom a stage is sure of.

    The first of a path are those that answer a part of whom the boldest without a change answers.
    """
    ways = []
    for sure, strict, loose in zip(confidence, before, after, strict=True):
        shares = np.linspace((sure > strict).mean(), (sure > loose).mean(), _BETWEEN + 1)[1:]
        ways.append([*np.quantile(sure, 1 - shares[:-1]).clip(loose, strict), loose])
    return np.array(ways).T


def _grid(confidence: np.ndarray) -> np.ndarray:
    """Return thresholds to try, `(rows, stages)`: shares of answered documents, evenly apart."""
    shares = np.linspace(0, 1, _GRID)
    each = [np.unique([1.0, *np.quantile(stage, shares).clip(0, 1)]) for stage in confidence]
    return np.array(list(itertools.product(*each)))


def _priced(
    confidence: np.ndarray, changes: np.ndarray, seconds: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds a document and the sum of changes at each of the thresholds' rows."""
    left = np.ones((len(points), confidence.shape[1]), dtype=bool)
    cost, lost = np.zeros((2, len(points)))
    for stage, thresholds in enumerate(points.T):
        cost += seconds[stage] * left.mean(axis=1) * (thresholds < 1)
        answered = left & (confidence[stage] > thresholds[:, None])
        lost += answered @ changes[stage].astype(np.float32)
        left &= ~answered
    return cost + seconds[-1] * left.mean(axis=1), lost
