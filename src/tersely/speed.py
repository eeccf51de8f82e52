"""How fast a model was when it was last evaluated: an evaluation runs anyway, so it is timed.

One pass over one set of documents, with whatever else the machine was doing, is no comparison; it
tells a reader of the model's card what to expect. `tersely bench` compares models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Speed"]

_NAMED = ("tersely", "torch", "transformers", "onnxruntime")


@dataclass(frozen=True)
class Speed:
    """One pass over documents, timed.

    Attributes:
        documents: how many.
        tokens: those that the model was given.
        macs: of all matrix products, all documents together.
        tokenising: seconds.
        running: seconds of the model.
        batch_tokens: most tokens of a packed batch.
        device: the device's type.
        numbers: `"float32"`, or what the model was set to run in.
        machine: see `tersely._io.describe_machine`, with the threads that the model ran with.
    """

    documents: int
    tokens: int
    macs: int
    tokenising: float
    running: float
    batch_tokens: int
    device: str
    numbers: str
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def documents_per_second(self) -> float:
        """Documents a second, from texts to logits."""
        return self.documents / max(self.tokenising + self.running, 1e-9)

    def rows(self) -> list[tuple[str, str]]:
        """What a table says: names and figures."""
        count = max(1, self.documents)
        both = 1000 * (self.tokenising + self.running) / count
        return [
            ("documents a second", f"{self.documents_per_second:,.1f}"),
            ("ms a document", f"{both:.2f}"),
            ("of which tokenising", f"{1000 * self.tokenising / count:.2f}"),
            ("tokens a document", f"{self.tokens / count:,.0f}"),
            ("MACs a document", f"{self.macs / count:.3g}"),
        ]

    def sentence(self) -> str:
        """What it was measured on, in one sentence."""
        machine = self.machine
        cpu, threads = machine.get("cpu"), machine.get("threads")
        where = str(machine.get("gpu")) if self.device == "cuda" else f"{cpu}, {threads} threads"
        versions = machine.get("versions", {})
        libraries = ", ".join(f"{name} {versions[name]}" for name in _NAMED if versions.get(name))
        return (
            f"One pass in packed batches of at most {self.batch_tokens:,} tokens, {self.numbers}, "
            f"on {where}; {libraries}."
        )
