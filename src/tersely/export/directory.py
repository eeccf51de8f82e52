"""An exported model on disk: graph, tokenizer and configuration, put in place once it was checked.

Two runtimes add numbers up in different orders, so logits differ in their last digits, and a token
whose score is on the edge may stay in one and go in the other. What must not differ is the label.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import save_file

from tersely._io import Progress, counting, written_whole
from tersely.errors import ExportError, ModelError, warn
from tersely.export.graph import OPSET, quantize_graph, scoring_layers, share_weights, write_graph
from tersely.export.runner import LINEAR_FILE, OnnxRunner, graph_names
from tersely.modeling import TerselyConfig
from tersely.modeling.cascading import stage_model
from tersely.modeling.inference import run_model
from tersely.text.metrics import predict_from_logits

if TYPE_CHECKING:  # a classifier reads exports, so at run time the import goes the other way
    from tersely.classifier import Classifier
    from tersely.text.encoding import EncodedDocuments

_FILE = "export.json"  # what marks a directory as an export, and says what is in it
_VERSION = 2  # a cascade since 2
_SHARED = "weights.data"  # of the graphs of a cascade
# What transformers saves the weights of a model as.
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")
_CLOSE = 0.01  # numbers of a regression agree within this, and this share of the original


@dataclass(frozen=True)
class Check:
    """An export against its original, on the same documents; differences are of logits."""

    documents: int
    agreement: float  # same labels, a share; of a regression, within 0.01 and 1 %
    largest_difference: float
    made_up: bool = False  # whether the documents are random words of the vocabulary


def export_model(
    classifier: Classifier,
    directory: str | Path,
    texts: Sequence[str] | None = None,
    pairs: Sequence[str] | None = None,
    *,
    int8: bool = False,
    min_agreement: float | None = None,
    progress: Progress = None,
) -> Check:
    """Export a classifier, check it, only then put it in its place, and return the comparison.

    A cascade becomes a graph for each stage, on weights that are stored once, and its linear stage
    a file beside them; each graph is checked by itself, too.

    Args:
        classifier: a trained one, on the CPU; a model in half precision becomes float32.
        directory: where to write.
        texts: documents to compare it with the original on; None for texts of random words.
        pairs: their second texts.
        int8: whether weights of matrix products become 8-bit integers.
        min_agreement: the share of documents that must get the same labels; None for all of them,
            or for 0.99 with `int8`.
        progress: called with what runs, and how much of how much of it is done.

    Raises:
        ExportError: if the classifier is on another device, its plan cannot be exported, too few
            documents get the same labels, or the directory holds the weights of a model; then
            nothing is written.
        OutputError: if the directory cannot be written.

    Example:
        >>> export_model(classifier, "onnx-model/", texts).agreement  # doctest: +SKIP
        1.0
    """
    directory = Path(directory)
    weights = [file.name for pattern in _WEIGHTS for file in directory.glob(pattern)]
    if weights and not is_export(directory):
        raise ExportError(
            f"{directory} holds the weights of a model ({weights[0]}), and a directory is either a "
            "model or an export; export to a directory of its own"
        )
    if classifier.device.type != "cpu":
        raise ExportError(
            f"a model is exported from the CPU, got one on {classifier.device}; load it with "
            "device='cpu'"
        )
    model = classifier.torch_model().float()
    least = (0.99 if int8 else 1.0) if min_agreement is None else min_agreement
    if made_up := texts is None:
        texts, pairs = made_up_texts(classifier.tokenizer, classifier.limit), None
    encoded = classifier.encode(texts, pairs)
    with written_whole(directory, "export", replaces=files_of_export(directory)) as folder:
        check = _write_graphs(classifier, folder, encoded, int8, progress)
        removes = classifier.plan.steps or model.cascade is not None
        if int8 and removes and check.agreement < least:
            # A token whose score is on the edge goes in one and stays in the other.
            got = f"{check.agreement:.1%} of {check.documents} documents get the original's labels"
            who = "the layers that decide which tokens leave stay in float32"
            warn(f"with int8 everywhere, {got}; {who}")
            check = _write_graphs(classifier, folder, encoded, int8, progress, exact=True)
        if check.agreement < least:
            raise ExportError(
                f"the export{' with int8' if int8 else ''} gives {check.agreement:.1%} of "
                f"{check.documents} documents the labels of the original, expected at least "
                f"{least:.1%} (largest difference of a logit {check.largest_difference:.3g}); "
                f"{'export without int8' if int8 else 'serve the original'}, or lower min_agreement"
            )
        check = replace(check, made_up=made_up)
        model.config.save_pretrained(folder)
        classifier.tokenizer.model_max_length = classifier.limit
        classifier.tokenizer.save_pretrained(folder)
        record = {"version": _VERSION, "int8": int8, "opset": OPSET}
        record |= {"longest_document": classifier.limit, "check": asdict(check)}
        (folder / _FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return check


def _write_graphs(
    classifier: Classifier,
    folder: Path,
    encoded: EncodedDocuments,
    int8: bool,
    progress: Progress,
    exact: bool = False,
) -> Check:
    """Write the graphs, compare all of them together and each; the lowest agreement counts."""
    model, problem = classifier.torch_model(), classifier.label_space.problem_type
    cascade, limit, graphs = model.cascade, classifier.limit, []
    names = graph_names(cascade)
    written = counting(progress, "writing graphs", len(names))
    for stage, name in names:
        graphs.append(folder / name)
        write_graph(stage_model(model, stage), graphs[-1], limit)
        if int8:
            quantize_graph(graphs[-1], scoring_layers(graphs[-1]) if exact else ())
        written(1)
    if cascade is not None:
        share_weights(graphs, folder / _SHARED)
    if model.linear is not None:
        save_file(model.linear.state_dict(), folder / LINEAR_FILE)
    runner = OnnxRunner(folder, model.config, limit, int8)
    single = names if cascade is not None else []
    read = counting(progress, "comparing answers", 2 * (1 + len(single)) * len(encoded))
    logits = [(classifier.forward(encoded, read).logits, runner.run(encoded, 0, read).logits)]
    for stage, _ in single:
        original = run_model(stage_model(model, stage), encoded, classifier.batch_tokens, read)
        logits.append((original.logits, runner.run_stage(stage, encoded, read).logits))
    checks = [compare_logits(*each, problem) for each in logits]
    return min(checks, key=lambda each: each.agreement)


def compare_logits(original: np.ndarray, exported: np.ndarray, problem_type: str) -> Check:
    """Compare logits `(documents, labels)` of the same documents."""
    gaps = np.abs(original.astype(np.float64) - exported.astype(np.float64))
    same = gaps <= _CLOSE + _CLOSE * np.abs(original)
    if problem_type != "regression":
        wanted, found = (predict_from_logits(each, problem_type) for each in (original, exported))
        same = wanted == found
    agreement = float(same.reshape(len(same), -1).all(axis=1).mean())
    return Check(len(original), agreement, float(gaps.max()))


def made_up_texts(tokenizer: Any, longest: int, count: int = 32) -> list[str]:
    """Return texts of random words, of 1 to `longest` tokens in their order; always the same."""
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha()) or ["a"]
    chance = random.Random(0)
    lengths = np.geomspace(1, max(1, longest - 2), count).round().astype(int)
    return [" ".join(chance.choices(words, k=int(length))) for length in lengths]


def is_export(source: str | Path) -> bool:
    """Tell whether a directory holds an export."""
    return (Path(source) / _FILE).is_file()


def files_of_export(directory: Path) -> tuple[str, ...]:
    """Name what an export in a directory has and a model of torch has not; nothing without one."""
    if not is_export(directory):
        return ()
    graphs = (
        file.name for part in ("model", "stage-*") for file in directory.glob(f"{part}.onnx*")
    )
    return (_FILE, _SHARED, LINEAR_FILE, *graphs)


def load_export(source: str | Path) -> OnnxRunner:
    """Load an export."""
    file = Path(source) / _FILE
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["version"]
        longest, int8 = int(record["longest_document"]), bool(record["int8"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} cannot be read: {error!r}; export again") from None
    if version > _VERSION:
        raise ModelError(
            f"{source} was exported by a newer tersely (version {version} of the format, this one "
            f"reads {_VERSION}); upgrade tersely, or export again"
        )
    return OnnxRunner(file.parent, TerselyConfig.from_pretrained(file.parent), longest, int8)
