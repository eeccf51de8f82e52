"""An exported model on disk: the graph, the tokenizer, the configuration, and what was checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tersely._io import written_whole
from tersely.errors import ExportError, ModelError
from tersely.export.check import Check, compare_logits
from tersely.export.graph import OPSET, write_graph
from tersely.export.quantize import quantize_graph
from tersely.export.runner import OnnxRunner
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification
from tersely.text.encoding import EncodedDocuments

__all__ = [
    "EXPORT_FILE",
    "Original",
    "choose_backend",
    "export_model",
    "files_of_export",
    "is_export",
    "load_export",
]


EXPORT_FILE = "export.json"
"""What marks a directory as an export, and says what is in it."""

_BACKENDS = ("auto", "torch", "onnx")
_VERSION = 1
_GRAPH = "model.onnx"
# What transformers saves the weights of a model as.
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")


@dataclass(frozen=True)
class Original:
    """What is exported, and what it says of the documents of the check.

    Attributes:
        model: on the CPU, in float32, in evaluation mode.
        tokenizer: its tokenizer.
        longest: most tokens of a document or window.
        problem_type: of the classifier.
        encoded: the documents of the check.
        logits: its own of these, `(documents, labels)`.
        made_up: whether the documents are no real ones.
    """

    model: TerselyForSequenceClassification
    tokenizer: Any
    longest: int
    problem_type: str
    encoded: EncodedDocuments
    logits: np.ndarray
    made_up: bool


def export_model(
    original: Original, directory: Path, *, int8: bool = False, minimum: float | None = None
) -> Check:
    """Export a model, check it, and only then put it in its place.

    Args:
        original: the model, and its logits of some documents.
        directory: where to write.
        int8: whether weights of matrix products become 8-bit integers.
        minimum: the share of documents that must get the same labels; None for all, or for 0.99
            with `int8`.

    Returns:
        The comparison with the original.

    Raises:
        ExportError: if the plan cannot be exported, too few documents get the same labels, or the
            directory holds the weights of a model; then nothing is written.
        OutputError: if the directory cannot be written.
    """
    weights = [file.name for pattern in _WEIGHTS for file in Path(directory).glob(pattern)]
    if weights:
        raise ExportError(
            f"{directory} holds the weights of a model ({weights[0]}), and a directory is either a "
            "model or an export; export to a directory of its own"
        )
    minimum = (0.99 if int8 else 1.0) if minimum is None else minimum
    with written_whole(directory, "export") as part:
        check = _export_into(part, original, int8, minimum)
    return check


def _export_into(folder: Path, original: Original, int8: bool, minimum: float) -> Check:
    from tersely import __version__

    graph = folder / _GRAPH
    write_graph(original.model, graph, original.longest)
    if int8:
        quantize_graph(graph)
    config = original.model.config
    runner = OnnxRunner(graph, config, original.longest, int8)
    found = runner.run(original.encoded).logits
    check = compare_logits(original.logits, found, original.problem_type, made_up=original.made_up)
    if check.agreement < minimum:
        raise ExportError(
            f"the export{' with int8' if int8 else ''} gives {check.agreement:.1%} of "
            f"{check.documents} documents the labels of the original, expected at least "
            f"{minimum:.1%} (largest difference of a logit {check.largest_difference:.3g}); "
            + ("export without int8" if int8 else "serve the original with torch")
            + ", or lower --min-agreement"
        )
    config.save_pretrained(folder)
    original.tokenizer.save_pretrained(folder)
    record = {
        "version": _VERSION,
        "format": "onnx",
        "graph": _GRAPH,
        "int8": int8,
        "opset": OPSET,
        "longest_document": original.longest,
        "tersely": __version__,
        "check": check.to_dict(),
    }
    (folder / EXPORT_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return check


def is_export(source: str | Path) -> bool:
    """Whether a directory holds an export."""
    return (Path(source) / EXPORT_FILE).is_file()


def files_of_export(directory: str | Path) -> tuple[str, ...]:
    """Names of what an export in a directory has and a model of torch has not; none without one."""
    return (EXPORT_FILE, _GRAPH, f"{_GRAPH}.data") if is_export(directory) else ()


def choose_backend(source: str | Path, backend: str = "auto") -> str:
    """What runs the model of a directory: `"onnx"` for an export, `"torch"` for others.

    Args:
        source: a directory or a Hub name.
        backend: `"torch"`, `"onnx"`, or `"auto"` to tell by the directory.

    Raises:
        ModelError: for another back end, or torch where there is an export.
    """
    if backend not in _BACKENDS:
        raise ModelError(f"backend must be one of {', '.join(_BACKENDS)}, got {backend!r}")
    exported = is_export(source)
    if exported and backend == "torch":
        raise ModelError(
            f"{source} holds an export, which torch cannot run; use backend='onnx', or the "
            "model that it was made from"
        )
    return "onnx" if exported or backend == "onnx" else "torch"


def load_export(source: str | Path) -> OnnxRunner:
    """Load an export.

    Raises:
        ModelError: if it is none, or from a newer tersely.
    """
    folder = Path(source)
    if not is_export(folder):
        raise ModelError(
            f"expected the directory of an export, got {source}, which holds no {EXPORT_FILE}; "
            "make one with: tersely export"
        )
    try:
        record = json.loads((folder / EXPORT_FILE).read_text(encoding="utf-8"))
        version, graph = record["version"], folder / record["graph"]
        longest, int8 = int(record["longest_document"]), bool(record["int8"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / EXPORT_FILE} cannot be read: {error!r}; export again"
        ) from None
    if version > _VERSION:
        raise ModelError(
            f"{folder} was exported by a newer tersely (version {version} of the format, this one "
            f"reads {_VERSION}); upgrade with: pip install -U tersely"
        )
    config = TerselyConfig.from_pretrained(folder)
    return OnnxRunner(graph, config, longest, int8)
