"""ONNX Runtime on the dense model, in float32 and in int8: what most people would try first.

The padded form of the model is exported with transformers' exporter and ONNX Runtime's fusions for
encoders; int8 is ONNX Runtime's dynamic quantisation of the weights, per channel.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from tersely.bench.macs import padded_macs
from tersely.errors import DataError, require
from tersely.modeling import padded_model

__all__ = ["OnnxContender", "export_onnx"]

PRECISIONS = ("float32", "int8")


class OnnxContender:
    """A dense classifier in ONNX Runtime, on padded batches sorted by length, on the CPU.

    Args:
        folder: what `export_onnx` wrote.
        name: how the report calls it.
        precision: `"float32"` or `"int8"`.
        batch_size: documents per batch; 1 runs each alone.
        max_length: tokens after which a document is cut.
        threads: of ONNX Runtime; torch's by default.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str = "onnx",
        precision: str = "float32",
        batch_size: int = 32,
        max_length: int = 512,
        threads: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise DataError(
                f"expected precision {' or '.join(PRECISIONS)}, got {precision!r}; choose one"
            )
        runtime = require("onnxruntime", "onnx")
        self.name = name
        self._spec = {
            "folder": str(folder),
            "precision": precision,
            "batch_size": batch_size,
            "max_length": max_length,
            "threads": threads,
        }
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        path = Path(folder) / ("model.onnx" if precision == "float32" else "model-int8.onnx")
        providers = ["CPUExecutionProvider"]
        self._session = runtime.InferenceSession(str(path), options, providers=providers)
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._config = padded_configuration(folder)
        self._documents: list[dict[str, list[int]]] = []
        self._batches: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
        self._alone: dict[int, dict[str, np.ndarray]] = {}

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise, sort by length, and pad."""
        limit = self._spec["max_length"]
        encoded = self._tokenizer(list(texts), truncation=True, max_length=limit)
        self._documents = [
            {key: encoded[key][i] for key in encoded if key in self._inputs}
            for i in range(len(texts))
        ]
        lengths = np.array([len(document["input_ids"]) for document in self._documents])
        order, size = np.argsort(-lengths, kind="stable"), self._spec["batch_size"]
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        self._batches = [(self._pad(part), part) for part in parts]
        self._alone = {}

    def run(self) -> np.ndarray:
        """Run all batches; logits `(documents, labels)` in the order of the texts."""
        outputs = [self._session.run(None, inputs)[0] for inputs, _ in self._batches]
        logits = np.concatenate(outputs).astype(np.float32)
        restored = np.empty_like(logits)
        restored[np.concatenate([part for _, part in self._batches])] = logits
        return restored

    def run_one(self, index: int) -> np.ndarray:
        """Run one document alone; logits `(1, labels)`."""
        if index not in self._alone:
            self._alone[index] = self._pad([index])
        return self._session.run(None, self._alone[index])[0]

    @property
    def macs(self) -> float | None:
        """MACs of the encoder's layers on all padded positions; None if not counted."""
        shapes = [tuple(inputs["input_ids"].shape) for inputs, _ in self._batches]
        return padded_macs(self._config, shapes)

    @property
    def arithmetic(self) -> tuple[str, str]:
        """The device and the type of numbers that it multiplies on."""
        return "cpu", self._spec["precision"]

    @property
    def tokens(self) -> int:
        """Tokens of the prepared documents, after truncation and without padding."""
        return sum(len(document["input_ids"]) for document in self._documents)

    def spec(self) -> dict[str, Any]:
        """What builds this contender again."""
        return {"kind": "onnx", "name": self.name} | self._spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> OnnxContender:
        """Load the contender that `spec` describes."""
        return cls(**{key: value for key, value in spec.items() if key != "kind"})

    def _pad(self, part: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        documents = [self._documents[index] for index in part]
        longest = max(len(document["input_ids"]) for document in documents)
        batch = {name: np.zeros((len(documents), longest), np.int64) for name in self._inputs}
        batch["input_ids"] += self._tokenizer.pad_token_id
        for row, document in enumerate(documents):
            for name, values in document.items():
                batch[name][row, : len(values)] = values
        return batch


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's progress, and its notes on operators that no encoder has, to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def padded_configuration(folder: str | Path) -> Any:
    """The encoder's configuration that `export_onnx` kept beside the model."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(Path(folder) / "encoder")


def export_onnx(source: str | Path, folder: str | Path) -> Path:
    """Write a dense classifier as ONNX, in float32 and in int8, with its tokenizer.

    Args:
        source: the directory or Hub name of a dense classifier, tersely's or transformers'.
        folder: where to; it is made.

    Raises:
        MissingExtraError: if onnx, onnxscript or onnxruntime are not installed.
        ModelError: if the model is not dense.
    """
    onnx = require("onnx", "onnx")
    require("onnxscript", "onnx")
    quantization = require("onnxruntime.quantization", "onnx")
    from transformers.exporters import OnnxConfig, OnnxExporter

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = padded_model(source)
    # The exporter traces a batch; two rows of eight tokens tell rows and tokens apart.
    ids = torch.arange(4, 20).view(2, 8) % model.config.vocab_size
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with _quietly():
        exported = OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True, ort_fusions="cpu"))
        exported.save_pretrained(folder)
        graph = onnx.load(folder / "model.onnx")
        # Shapes that the fusions left behind contradict those that the quantiser infers.
        del graph.graph.value_info[:]
        quantization.quantize_dynamic(
            graph,
            folder / "model-int8.onnx",
            per_channel=True,
            # Nothing is inferred behind ONNX Runtime's own operators; all of it is float32.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    model.config.save_pretrained(folder / "encoder")
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder
