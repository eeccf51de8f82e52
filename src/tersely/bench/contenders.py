"""What can take part in a comparison: the protocol, and how one is built again elsewhere.

The clock, the memory measurement and the report know contenders by this protocol only. A remote
service or a linear model is a `TextContender` with one method.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tersely.errors import DataError

__all__ = ["KINDS", "Contender", "Rebuildable", "TextContender", "build_contender"]


class Contender(Protocol):
    """Something that gives logits for documents, and can be asked to do so again and again.

    With an attribute `arithmetic`, the device and the type of numbers that it multiplies on, such
    as `("cpu", "float32")`, its MACs are set against the peak of matrix products there.
    """

    name: str

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise and batch the documents once, outside the clock."""
        ...

    def run(self) -> np.ndarray:
        """Run the forward pass alone; logits `(documents, labels)` in the order of the texts."""
        ...

    def run_one(self, index: int) -> np.ndarray:
        """Run one prepared document alone; logits `(1, labels)`.

        The clock calls this once per sampled document before it measures, so what is needed only
        here may be prepared on the first call.
        """
        ...

    @property
    def macs(self) -> float | None:
        """MACs of the encoder's layers in the last `run`; None when not counted."""
        ...

    @property
    def tokens(self) -> int | None:
        """Tokens of the prepared documents, after truncation, without padding; None: none."""
        ...


class TextContender(ABC):
    """A contender that takes texts and gives scores, all of it inside the clock.

    A class of one's own needs a `name` and `scores`; with `fit` it is fitted on the documents of
    `tersely bench --train`, and with a class attribute `about` the report says what it is.

    Example:
        >>> class Length(TextContender):
        ...     name = "longer than ten words"
        ...     def scores(self, texts):
        ...         longer = np.array([len(text.split()) > 10 for text in texts])
        ...         return np.stack([~longer, longer], axis=1).astype(np.float32)
        >>> contender = Length()
        >>> contender.prepare(["short", "a b c d e f g h i j k"])
        >>> contender.run().argmax(1).tolist()
        [0, 1]
    """

    name = "texts"
    tokenises_in_run = True
    macs: float | None = None
    tokens: int | None = None

    @abstractmethod
    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Logits `(documents, labels)` in the order of the texts; logarithms of shares will do."""

    def prepare(self, texts: Sequence[str]) -> None:
        """Keep the texts; nothing is done outside the clock."""
        self._texts = list(texts)

    def run(self) -> np.ndarray:
        """Score all documents."""
        return self.scores(self._texts)

    def run_one(self, index: int) -> np.ndarray:
        """Score one document alone."""
        return self.scores(self._texts[index : index + 1])


@runtime_checkable
class Rebuildable(Protocol):
    """A contender that another process can build again, to measure its memory there."""

    def spec(self) -> dict[str, Any] | None:
        """What `build_contender` needs, as JSON; None when it cannot be built again.

        `kind` is one of `KINDS` or `"module:Class"`, a class with a classmethod `from_spec`.
        """
        ...


KINDS = {
    "linear": "tersely.bench.linear:LinearContender",
    "onnx": "tersely.bench.onnx_runtime:OnnxContender",
    "packed": "tersely.bench.packed:PackedContender",
    "static": "tersely.bench.static:StaticContender",
    "stock": "tersely.bench.stock:StockContender",
}
"""Short names of contenders, by where they live: none is imported before it is asked for."""


def build_contender(spec: Mapping[str, Any]) -> Contender:
    """Build a contender from what its `spec` returned, in this process.

    Raises:
        DataError: if no class of that kind can be found.
    """
    kind = str(spec.get("kind"))
    try:
        builder = pkgutil.resolve_name(KINDS.get(kind, kind))
        from_spec = builder.from_spec
    except (AttributeError, ImportError, ValueError) as error:
        raise DataError(
            f"expected a contender's kind out of {', '.join(KINDS)}, or 'module:Class' with a "
            f"from_spec, got {kind!r}; correct the contender's spec"
        ) from error
    return from_spec(spec)
