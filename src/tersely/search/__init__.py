"""Which stages with which thresholds are a fast cascade, and what other documents prove of it."""

from __future__ import annotations

from tersely.search.find import (
    Choice,
    Found,
    check_original,
    choices,
    draw_documents,
    find_cascade,
    path_marks,
    prove_cascade,
)
from tersely.search.stages import Bench, Looked, Referee, fitted, plan_stages

__all__ = [
    "Bench",
    "Choice",
    "Found",
    "Looked",
    "Referee",
    "check_original",
    "choices",
    "draw_documents",
    "find_cascade",
    "fitted",
    "path_marks",
    "plan_stages",
    "prove_cascade",
]
