"""A fine-tuned classifier made faster on one's own texts and machine, with proof, or left alone."""

from __future__ import annotations

from tersely.accelerate.bound import documents_needed, least_limit, split_texts, upper_bound
from tersely.accelerate.evidence import Evidence, Proof, Tried
from tersely.accelerate.search import Candidate, accelerate, untrained_plans

__all__ = [
    "Candidate",
    "Evidence",
    "Proof",
    "Tried",
    "accelerate",
    "documents_needed",
    "least_limit",
    "split_texts",
    "untrained_plans",
    "upper_bound",
]
