"""The contender to beat: a sequence classifier run the way transformers' own examples run it.

Padded batches in order of arrival, or sorted by length, which is what careful users do by hand. A
dense tersely model takes part in its padded form (`tersely.modeling.padded_model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
)

from tersely._io import torch_threads
from tersely.bench.macs import padded_macs
from tersely.errors import DataError
from tersely.modeling import padded_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["StockContender"]

ORDERS = ("arrival", "sorted")


class StockContender:
    """A transformers classifier on padded batches, with transformers' own choice of attention.

    That choice is scaled dot-product attention wherever the family supports it.

    Args:
        model: a model, or the directory of one; only the latter can be measured for memory.
        tokenizer: a tokenizer, or the directory of one; the model's directory by default.
        name: how the report calls it; `"stock, arrival"` or `"stock, sorted"` by default.
        order: `"arrival"` or `"sorted"` (by length, longest first).
        batch_size: documents per batch.
        max_length: tokens after which a document is cut.
        threads: threads of torch for this contender; the process's by default.
        device: where a model from a directory is put, `"cpu"` by default.
        dtype: the weights' type of a model from a directory, `"float32"` by default.
        compiled: whether to run it through `torch.compile`, for any length and number of rows.

    Raises:
        DataError: if `order` is unknown, or a model comes without a tokenizer.
    """

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: str | Path | PreTrainedTokenizerBase | None = None,
        *,
        name: str | None = None,
        order: str = "arrival",
        batch_size: int = 32,
        max_length: int = 512,
        threads: int | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        compiled: bool = False,
    ) -> None:
        if order not in ORDERS:
            raise DataError(f"expected order {' or '.join(ORDERS)}, got {order!r}; choose one")
        if tokenizer is None and isinstance(model, PreTrainedModel):
            raise DataError("expected a tokenizer beside the model, got none; pass the tokenizer")
        self.name = name or f"stock, {order}"
        self.options = {
            "order": order,
            "batch_size": batch_size,
            "max_length": max_length,
            "threads": threads,
            "device": device,
            "dtype": dtype,
            "compiled": compiled,
        }
        self._sources = (model, model if tokenizer is None else tokenizer)
        self._model = padded_model(model, device=device, dtype=dtype).eval()
        self._run = torch.compile(self._model, dynamic=True) if compiled else self._model
        self._tokenizer = _load_tokenizer(self._sources[1])
        self._batches: list[tuple[dict[str, torch.Tensor], np.ndarray]] = []
        self._documents: list[dict[str, list[int]]] = []
        self._alone: dict[int, dict[str, torch.Tensor]] = {}
        self._tokens = 0

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise, order and pad the documents, and put them on the model's device."""
        encoded = self._tokenizer(
            list(texts), truncation=True, max_length=self.options["max_length"]
        )
        documents = [
            {key: encoded[key][index] for key in encoded if key in ("input_ids", "token_type_ids")}
            for index in range(len(texts))
        ]
        lengths = np.array([len(document["input_ids"]) for document in documents])
        order = np.arange(len(documents))
        if self.options["order"] == "sorted":
            order = np.argsort(-lengths, kind="stable")
        size = self.options["batch_size"]
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        self._batches = [(self._pad([documents[index] for index in part]), part) for part in parts]
        self._documents, self._alone = documents, {}
        self._tokens = int(lengths.sum())

    def run(self) -> np.ndarray:
        """Run all padded batches; logits `(documents, labels)` in the order of the texts."""
        with torch_threads(self.options["threads"]), torch.inference_mode():
            outputs = [self._run(**inputs).logits for inputs, _ in self._batches]
            logits = torch.cat(outputs).float().cpu().numpy()
        restored = np.empty_like(logits)
        restored[np.concatenate([indices for _, indices in self._batches])] = logits
        return restored

    def run_one(self, index: int) -> np.ndarray:
        """Run one document alone, hence without padding; logits `(1, labels)`."""
        if index not in self._alone:
            self._alone[index] = self._pad([self._documents[index]])
        with torch_threads(self.options["threads"]), torch.inference_mode():
            return self._run(**self._alone[index]).logits.float().cpu().numpy()

    @property
    def macs(self) -> float | None:
        """MACs of the encoder's layers on all padded positions; None if not counted."""
        shapes = [tuple(inputs["input_ids"].shape) for inputs, _ in self._batches]
        return padded_macs(self._model.config, shapes)

    @property
    def arithmetic(self) -> tuple[str, str]:
        """The device and the type of numbers that it multiplies on."""
        return str(self._model.device), str(self._model.dtype).removeprefix("torch.")

    @property
    def tokens(self) -> int:
        """Tokens of the prepared documents, after truncation and without padding."""
        return self._tokens

    def spec(self) -> dict[str, Any] | None:
        """What builds this contender again; None when it was given objects, not directories."""
        if not all(isinstance(source, str | Path) for source in self._sources):
            return None
        model, tokenizer = map(str, self._sources)
        found = {"kind": "stock", "name": self.name, "model": model, "tokenizer": tokenizer}
        return found | self.options

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> StockContender:
        """Build the contender that `spec` describes."""
        return cls(**{key: value for key, value in spec.items() if key != "kind"})

    def _pad(self, documents: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        batch = DataCollatorWithPadding(self._tokenizer)(documents)
        return dict(batch.to(self._model.device))


def _load_tokenizer(tokenizer: str | Path | PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    if isinstance(tokenizer, str | Path):
        return AutoTokenizer.from_pretrained(tokenizer)
    return tokenizer
