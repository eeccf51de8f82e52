"""A fine-tuned classifier made faster on one's own texts and machine, with proof, or left alone."""

from __future__ import annotations

from tersely.accelerate.bound import documents_needed, least_limit, upper_bound
from tersely.accelerate.candidates import Candidate, untrained_plans
from tersely.accelerate.evidence import Evidence, Proof, Tried
from tersely.accelerate.halves import Halves, split_halves
from tersely.accelerate.leftovers import remove_older_model
from tersely.accelerate.search import accelerate

__all__ = [
    "Candidate",
    "Evidence",
    "Halves",
    "Proof",
    "Tried",
    "accelerate",
    "documents_needed",
    "least_limit",
    "remove_older_model",
    "split_halves",
    "untrained_plans",
    "upper_bound",
]
