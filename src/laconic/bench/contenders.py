"""What can take part in a comparison: the protocol, and how one is built again elsewhere.

The clock, the memory measurement and the report know contenders by this protocol only, so a remote
service or a linear model is one more class with these five members.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import DataError

__all__ = ["KINDS", "Contender", "Rebuildable", "build_contender"]


class Contender(Protocol):
    """Something that gives logits for documents, and can be asked to do so again and again."""

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
    def multiply_adds(self) -> float | None:
        """Multiply-adds of the encoder's layers in the last `run`; None when not counted."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens of the prepared documents, after truncation and without padding."""
        ...


@runtime_checkable
class Rebuildable(Protocol):
    """A contender that another process can build again, to measure its memory there."""

    def spec(self) -> dict[str, Any] | None:
        """What `build_contender` needs, as JSON; None when it cannot be built again.

        `kind` is one of `KINDS` or `"module:Class"`, a class with a classmethod `from_spec`.
        """
        ...


KINDS = {
    "packed": "laconic.bench.packed:PackedContender",
    "stock": "laconic.bench.stock:StockContender",
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
