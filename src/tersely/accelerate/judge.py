"""What counts against a candidate: another label than the original's, or a right one lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.text.metrics import predict_from_logits, right_documents

__all__ = ["Judge"]


@dataclass(frozen=True, eq=False)
class Judge:
    """Counts failures on some documents.

    Without labels a failure is a document that gets another prediction than the original's. With
    labels it is one that the original has right and the candidate wrong; the share of those is
    never less than the loss of accuracy, so a bound on it is one on the loss.

    Args:
        original: the original's logits `(documents, labels)`.
        labels: as `evaluate_logits` takes them, or None.
        problem_type: single or several labels.
    """

    original: np.ndarray
    labels: Any
    problem_type: str

    @property
    def counts(self) -> str:
        """What a failure is, in words."""
        if self.labels is None:
            return "another label than the original's"
        return "right before, wrong now"

    def failures(self, logits: np.ndarray, numbers: np.ndarray | None = None) -> int:
        """How many of the documents (all, or these) count against the candidate."""
        return int(self._lost(logits, numbers).sum())

    def gained(self, logits: np.ndarray) -> int | None:
        """Documents that only the candidate has right; None without labels."""
        if self.labels is None:
            return None
        wanted = np.asarray(self.labels)
        mine, theirs = self._same(logits, wanted), self._same(self.original, wanted)
        return int((mine & ~theirs).sum())

    def _lost(self, logits: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
        chosen = slice(None) if numbers is None else numbers
        original = self.original[chosen]
        if self.labels is None:
            return ~self._same(logits, predict_from_logits(original, self.problem_type))
        wanted = np.asarray(self.labels)[chosen]
        return self._same(original, wanted) & ~self._same(logits, wanted)

    def _same(self, logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return right_documents(logits, wanted, self.problem_type)
