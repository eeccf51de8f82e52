"""A fine-tuned classifier made faster on one's own texts and machine, with proof, or left alone."""

from __future__ import annotations

from laconic.accelerate.bound import documents_needed, least_limit, upper_bound
from laconic.accelerate.candidates import Candidate, untrained_plans
from laconic.accelerate.evidence import Evidence, Proof, Tried
from laconic.accelerate.halves import Halves, split_halves
from laconic.accelerate.leftovers import remove_older_model
from laconic.accelerate.search import accelerate

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
