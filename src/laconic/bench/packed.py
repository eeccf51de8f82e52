"""laconic's own classifier as a contender, through its public interface and nothing below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from ..classifier import Classifier

__all__ = ["PackedContender"]


class PackedContender:
    """A `laconic.Classifier` on packed batches.

    Args:
        classifier: the classifier.
        name: how the report calls it.
        source: keyword arguments with which `Classifier.from_pretrained` gives this classifier
            again, as JSON; without them its memory cannot be measured.
    """

    def __init__(
        self,
        classifier: Classifier,
        name: str = "packed",
        *,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._classifier = classifier
        self._source = source
        self._texts: list[str] = []
        self._batches: list[tuple[Any, np.ndarray]] = []
        self._alone: dict[int, Any] = {}
        self._tokens = 0
        self._multiply_adds: float | None = None

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise and pack the documents."""
        encoded = self._classifier.encode(texts)
        self._texts = list(texts)
        self._batches = [
            (inputs, np.asarray(indices)) for inputs, indices in self._classifier.batches(encoded)
        ]
        self._alone = {}
        self._tokens = encoded.tokens

    def run(self) -> np.ndarray:
        """Run all packed batches; logits `(documents, labels)` in the order of the texts."""
        with torch.inference_mode():
            outputs = [self._classifier.forward(inputs) for inputs, _ in self._batches]
            logits = torch.cat([output for output, _ in outputs]).float().cpu().numpy()
        self._multiply_adds = float(sum(trace.multiply_adds for _, trace in outputs))
        restored = np.empty_like(logits)
        restored[np.concatenate([indices for _, indices in self._batches])] = logits
        return restored

    def run_one(self, index: int) -> np.ndarray:
        """Run one document alone; logits `(1, labels)`; the first call packs it."""
        if index not in self._alone:
            encoded = self._classifier.encode([self._texts[index]])
            self._alone[index] = self._classifier.batches(encoded)[0][0]
        with torch.inference_mode():
            logits, _ = self._classifier.forward(self._alone[index])
        return logits.float().cpu().numpy()

    @property
    def multiply_adds(self) -> float | None:
        """Multiply-adds that the last `run` really computed; None before it."""
        return self._multiply_adds

    @property
    def tokens(self) -> int:
        """Tokens of the prepared documents, after truncation and before any is removed."""
        return self._tokens

    def spec(self) -> dict[str, Any] | None:
        """What builds this contender again; None without a source."""
        if self._source is None:
            return None
        return {"kind": "packed", "name": self.name, "source": dict(self._source)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> PackedContender:
        """Load the classifier that `spec` describes."""
        from ..classifier import Classifier

        source = spec["source"]
        return cls(Classifier.from_pretrained(**source), spec["name"], source=source)
