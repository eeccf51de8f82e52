"""Models in a row over one checkpoint: as data, as a run, and the search for their thresholds."""

from __future__ import annotations

from tersely.cascade.path import Path, find_path, marks
from tersely.cascade.run import (
    Answers,
    confidence,
    run_cascade,
    to_log_probabilities,
    to_logits,
)
from tersely.cascade.stages import LINEAR, PLAN, REFERENCE, Cascade, Stage

__all__ = [
    "LINEAR",
    "PLAN",
    "REFERENCE",
    "Answers",
    "Cascade",
    "Path",
    "Stage",
    "confidence",
    "find_path",
    "marks",
    "run_cascade",
    "to_log_probabilities",
    "to_logits",
]
