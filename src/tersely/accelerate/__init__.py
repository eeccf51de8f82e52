"""A fine-tuned classifier made faster on one's own texts and machine, with proof, or left alone."""

from tersely.accelerate.evidence import sentences, write_evidence
from tersely.accelerate.search import accelerate

__all__ = ["accelerate", "sentences", "write_evidence"]
