"""A model as a graph for ONNX Runtime: one document in, its logits out, removed tokens really gone.

A graph has no loop over documents of different lengths, so it reads one; the runner calls it for
each. Every length in it is a symbol: that of the document, and after each step the number of tokens
that stayed.
"""

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tersely.errors import ExportError, require
from tersely.modeling import TerselyForSequenceClassification
from tersely.modeling.forward import ForwardPass, PackedInputs
from tersely.ragged import ExportLayout

INPUTS = ("input_ids", "token_type_ids")
OUTPUTS = ("logits", "encoder_macs", "macs")
OPSET = 20
_PRODUCTS = ["MatMul", "Gemm"]
_CHOOSE = ("TopK", "NonZero", "ArgMax")  # what a selection of tokens ends in
_PAGE = 4096  # a smaller weight stays in its graph; larger ones begin where a page of memory can
_EXAMPLE = 24  # tokens of the document that is followed through the model; any number would do


class OneDocumentModel(nn.Module):
    """What is exported: a model in float32 on the CPU, on a row of one document."""

    def __init__(self, model: TerselyForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits `(1, labels)` and MACs, of the encoder and of all, for ids `(tokens,)`.

        The MACs come out of the graph because they depend on who was removed in it.
        """
        layout = ExportLayout(input_ids.shape[0], input_ids.device)
        types = token_type_ids if self.model.backbone.has_segments else None
        passed = ForwardPass(self.model, PackedInputs(input_ids, types, layout)).run()
        counts = (passed.trace.encoder_macs, passed.trace.macs)
        return passed.logits, *(torch.scalar_tensor(count, dtype=torch.long) for count in counts)


def write_graph(model: TerselyForSequenceClassification, file: Path, longest: int) -> None:
    """Export a model to an ONNX file, for documents of at most `longest` tokens."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    ids = torch.full((min(_EXAMPLE, longest),), model.config.pad_token_id or 0)
    # For less than four the exporter would need other code, where halves of a document are one
    # token; what it writes holds for less as well, which the tests show.
    tokens = torch.export.Dim("tokens", min=4, max=longest)
    try:
        with quiet(), torch.no_grad():
            example, how = (ids, torch.zeros_like(ids)), {"dynamic_shapes": ({0: tokens},) * 2}
            exported = torch.export.export(OneDocumentModel(model), example, strict=False, **how)
            how = {"input_names": list(INPUTS), "output_names": list(OUTPUTS), "dynamo": True}
            program = torch.onnx.export(exported, (), verbose=False, opset_version=OPSET, **how)
            _name_lengths(program.model.graph)
            program.save(file)
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"the plan {model.config.plan['name']!r} cannot be exported to ONNX ({reason}); serve "
            "it with torch, or choose another method"
        ) from error


def _name_lengths(graph: Any) -> None:
    """Call the number of tokens `tokens`; the exporter's symbol is called `s18` or the like."""
    shape, symbol = require("onnx_ir", "onnx").Shape, str(graph.inputs[0].shape[0])

    def named(size: Any) -> Any:
        known = isinstance(size, int) or size.value is None
        return size if known else str(size.value).replace(symbol, "tokens")

    made = (value for node in graph.all_nodes() for value in node.outputs)
    for value in (*graph.inputs, *made):
        value.shape = None if value.shape is None else shape(map(named, value.shape))


def scoring_layers(file: Path) -> list[str]:
    """Name the matrix products of a graph that who leaves depends on."""
    nodes = require("onnx", "onnx").load(file, load_external_data=False).graph.node
    makers = {name: node for node in nodes for name in node.output}
    waiting = [name for node in nodes if node.op_type in _CHOOSE for name in node.input]
    found = []
    while waiting:
        if (node := makers.pop(waiting.pop(), None)) is not None:
            waiting += node.input
            found += [node.name] if node.op_type in _PRODUCTS else []
    return found


def quantize_graph(file: Path, exact: Sequence[str] = ()) -> None:
    """Turn the constant matrices of a graph into 8-bit integers, in place; `exact` ones stay.

    Weights get a scale for each output channel; activations are measured as they come. Weights keep
    to 7 of the 8 bits: on processors without 8-bit dot products (VNNI), two full products of 8 bits
    overflow the 16 bits that they are added up in, and a file should give the same labels
    everywhere.
    """
    quantization = require("onnxruntime.quantization", "onnx")
    full = file.with_suffix(".full.onnx")
    file.rename(full)
    with quiet():
        how = {"per_channel": True, "reduce_range": True}
        how |= {"weight_type": quantization.QuantType.QInt8}
        how |= {"op_types_to_quantize": _PRODUCTS, "nodes_to_exclude": list(exact)}
        quantization.quantize_dynamic(full, file, **how)
    full.unlink()


def share_weights(graphs: Sequence[Path], weights: Path) -> None:
    """Move the weights of graphs of one folder into one file there, each stored once, in place.

    Plans run on the same weights, and what ONNX calls external data is a place in a file.
    """
    onnx = require("onnx", "onnx")
    places: dict[bytes, int] = {}
    with weights.open("wb") as out:
        for file in graphs:
            model = onnx.load(file)
            for tensor in model.graph.initializer:
                raw = tensor.raw_data
                if len(raw) < _PAGE:
                    continue
                if (key := hashlib.sha256(raw).digest()) not in places:
                    places[key] = out.seek(-(-out.tell() // _PAGE) * _PAGE)
                    out.write(raw)
                onnx.external_data_helper.set_external_data(
                    tensor, weights.name, offset=places[key], length=len(raw)
                )
                tensor.ClearField("raw_data")
            file.with_name(f"{file.name}.data").unlink(missing_ok=True)  # of large models
            onnx.save(model, file)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's and the quantizer's chatter away; what matters ends in an exception."""
    logging.disable(logging.ERROR)
    try:
        silent = contextlib.redirect_stdout(io.StringIO())
        with warnings.catch_warnings(action="ignore"), silent:
            yield
    finally:
        logging.disable(logging.NOTSET)
