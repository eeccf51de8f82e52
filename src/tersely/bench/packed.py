"""tersely's own classifier as a contender, through its public interface and nothing below it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tersely.errors import TerselyWarning

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.text.encoding import EncodedDocuments

__all__ = ["PackedContender"]


class PackedContender:
    """A `tersely.Classifier` on packed batches.

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
        self.classifier = classifier
        self._source = source
        self._texts: list[str] = []
        self._encoded: EncodedDocuments | None = None
        self._alone: dict[int, EncodedDocuments] = {}
        self._macs: float | None = None
        self.tokens_by_block: tuple[int, ...] = ()

    def like(self, classifier: Classifier, name: str, **source: Any) -> PackedContender:
        """Another setting of the same model, which `source` tells `Classifier.from_pretrained`."""
        known = None if self._source is None else {**self._source, **source}
        return PackedContender(classifier, name, source=known)

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise the documents."""
        self._texts = list(texts)
        self._encoded = self.classifier.encode(texts)
        self._alone = {}

    def run(self) -> np.ndarray:
        """Pack and run all documents; logits `(documents, labels)` in the order of the texts."""
        forward = self.classifier.forward(self._encoded)
        self._macs = float(forward.encoder_macs)
        self.tokens_by_block = forward.tokens_by_block
        return forward.logits

    def run_one(self, index: int) -> np.ndarray:
        """Run one document alone; logits `(1, labels)`; the first call tokenises it."""
        if index not in self._alone:
            with warnings.catch_warnings():
                # `prepare` said already how many documents are too long.
                warnings.simplefilter("ignore", TerselyWarning)
                self._alone[index] = self.classifier.encode([self._texts[index]])
        return self.classifier.forward(self._alone[index]).logits

    @property
    def macs(self) -> float | None:
        """MACs of the encoder's blocks in the last `run`; None before it."""
        return self._macs

    @property
    def arithmetic(self) -> tuple[str, str]:
        """The device and the type of numbers that it multiplies on."""
        model, precision = self.classifier.model, self.classifier.execution.precision
        device = "cpu" if model is None else str(model.device)
        return device, self.classifier.dtype_name if precision == "float32" else precision

    @property
    def tokens(self) -> int:
        """Tokens of the prepared documents, after truncation and before any is removed."""
        return 0 if self._encoded is None else self._encoded.tokens

    def spec(self) -> dict[str, Any] | None:
        """What builds this contender again; None without a source."""
        if self._source is None:
            return None
        return {"kind": "packed", "name": self.name, "source": dict(self._source)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> PackedContender:
        """Load the classifier that `spec` describes."""
        from tersely.classifier import Classifier

        source = spec["source"]
        return cls(Classifier.from_pretrained(**source), spec["name"], source=source)
