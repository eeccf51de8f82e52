"""The contenders to beat: a dense classifier as transformers or ONNX Runtime run it, padded.

Batches are padded in order of arrival, which is what transformers' pipeline does, or sorted by
length, which is what careful users do by hand. The ONNX form is transformers' own export with ONNX
Runtime's fusions for encoders; its int8 is dynamic quantisation of the weights, per channel.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tersely.backbones import backbone_for, supported_families
from tersely.bench.contenders import Contender
from tersely.errors import DataError, ModelError, require
from tersely.export.graph import quiet
from tersely.modeling import padded_model
from tersely.modeling.loading import load_tokenizer

_GRAPHS = {"float32": "model.onnx", "int8": "model-int8.onnx"}


class StockContender(Contender):
    """A classifier of transformers on padded batches, run by torch or by ONNX Runtime.

    Torch runs it with transformers' own choice of attention; ONNX Runtime on the CPU, on as many
    threads as torch has.

    Args:
        model: a model, the directory or Hub name of one, or a folder of `export_onnx`.
        tokenizer: a tokenizer, or the directory of one; the model's directory by default.
        name: how the report calls it; `"stock, arrival"` or `"stock, sorted"` by default.
        order: `"arrival"` or `"sorted"` (by length, longest first).
        batch_size, max_length: documents of a batch, and tokens after which one is cut.
        device, dtype: of a model from a directory; of an export `"float32"` or `"int8"`.
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
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        if order not in ("arrival", "sorted"):
            raise DataError(f"expected order arrival or sorted, got {order!r}; choose one")
        if tokenizer is None and isinstance(model, PreTrainedModel):
            raise DataError("expected a tokenizer beside the model, got none; pass the tokenizer")
        self.name = name or f"stock, {order}"
        self.order, self.batch_size, self.max_length = order, batch_size, max_length
        self._tokenizer = model if tokenizer is None else tokenizer
        if isinstance(self._tokenizer, str | Path):
            self._tokenizer = load_tokenizer(str(self._tokenizer), {})
        self._collate = DataCollatorWithPadding(self._tokenizer)
        self._graph: Path | None = None
        if isinstance(model, str | Path) and (Path(model) / _GRAPHS["float32"]).is_file():
            self._graph = Path(model) / _GRAPHS[dtype]
            self._config = AutoConfig.from_pretrained(Path(model) / "encoder")
            return
        try:
            self._model = padded_model(model, device=device, dtype=dtype).eval()
        except OSError as error:
            raise ModelError(
                f"transformers' classes cannot load {model}, whose weights have to be safetensors "
                f"({str(error).splitlines()[0]}); save the model again with a current transformers"
            ) from error
        self._config = self._model.config

    def prepare(self, texts: Sequence[str]) -> None:
        """Tokenise, order and pad the documents, and put them on the model's device."""
        encoded = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)
        self._documents = [{key: encoded[key][i] for key in encoded} for i in range(len(texts))]
        lengths = np.array([len(document["input_ids"]) for document in self._documents])
        order = np.arange(len(lengths))
        if self.order == "sorted":
            order = np.argsort(-lengths, kind="stable")
        starts = range(0, len(order), self.batch_size)
        self._parts = [order[start : start + self.batch_size] for start in starts]
        self._batches = [self._pad(part) for part in self._parts]
        self.tokens = int(lengths.sum())
        shapes = [(len(part), int(lengths[part].max())) for part in self._parts]
        self.macs = padded_macs(self._config, shapes)

    def run(self) -> np.ndarray:
        """Run all padded batches; logits `(documents, labels)` in the order of the texts."""
        logits = np.concatenate([self._logits(inputs) for inputs in self._batches])
        restored = np.empty_like(logits)
        restored[np.concatenate(self._parts)] = logits
        return restored

    def _pad(self, numbers: Iterable[int]) -> dict[str, torch.Tensor]:
        batch = self._collate([self._documents[number] for number in numbers])
        return dict(batch if self._graph is not None else batch.to(self._model.device))

    @cached_property
    def _session(self) -> Any:
        return None if self._graph is None else _onnx_session(self._graph)

    def __getstate__(self) -> dict[str, Any]:
        # A session stays in its process; another one makes its own.
        return {name: value for name, value in vars(self).items() if name != "_session"}

    @torch.inference_mode()
    def _logits(self, inputs: dict[str, torch.Tensor]) -> np.ndarray:
        if self._session is None:
            return self._model(**inputs).logits.float().cpu().numpy()
        names = [each.name for each in self._session.get_inputs()]
        return self._session.run(None, {name: inputs[name].numpy() for name in names})[0]


def _onnx_session(graph: Path) -> Any:
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    return runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def export_onnx(source: str | Path, folder: str | Path) -> Path:
    """Write a dense classifier, tersely's or transformers', as ONNX in float32 and in int8.

    Its tokenizer goes beside it; raises as `padded_model` if the model is not dense.
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
    with quiet():
        exported = OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True, ort_fusions="cpu"))
        exported.save_pretrained(folder)
        graph = onnx.load(folder / _GRAPHS["float32"])
        # Shapes that the fusions left behind contradict those that the quantiser infers.
        del graph.graph.value_info[:]
        # Nothing is inferred behind ONNX Runtime's own operators; all of it is float32.
        kind = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantization.quantize_dynamic(
            graph, folder / _GRAPHS["int8"], per_channel=True, extra_options=kind
        )
    model.config.save_pretrained(folder / "encoder")
    load_tokenizer(str(source), {}).save_pretrained(folder)
    return folder


def padded_macs(config: Any, shapes: Iterable[tuple[int, int]]) -> float | None:
    """Count the MACs of the encoder's blocks on padded batches `(rows, padded length)` each.

    A padded batch computes every position of every row: for each block and row of n positions, with
    d hidden units, the linear layers n times and 2 d n² for attention, a local attention pattern
    included, since the stock kernels compute the whole square and mask it. None of a family that
    tersely does not know.
    """
    if config.model_type not in supported_families():
        return None
    with torch.device("meta"):
        backbone = backbone_for(AutoModel.from_config(config))
    blocks = len(backbone.blocks)
    linear = sum(sum(backbone.cost_of_block(number)) for number in range(blocks))
    square = 2 * backbone.width * blocks
    return float(sum(rows * (linear * n + square * n**2) for rows, n in shapes))
