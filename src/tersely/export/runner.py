"""An export behind the interface of a model: encoded documents in, logits and their cost out.

A graph reads one document at a time. Many documents are spread over the cores, each on one; a
document alone gets all of them. A cascade is a graph for each stage, and who answers which document
is decided by the code that decides it for a model of torch. Its linear stage is no graph: as a file
of torch it takes half the bytes, and hashes pairs of pieces by the very code that it was fitted by.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file

from tersely.cascade import LINEAR, REFERENCE, Cascade, Stage
from tersely.errors import ModelError, require
from tersely.linear import LinearForm, LinearStage
from tersely.modeling import TerselyConfig
from tersely.modeling.inference import Forward, run_stages
from tersely.text.encoding import EncodedDocuments

LINEAR_FILE = "linear.safetensors"
Progress = Callable[[int], None] | None


def graph_names(cascade: Cascade | None) -> list[tuple[Stage, str]]:
    """Return the stages that are graphs, with their files; without a cascade it is the model."""
    stages = (Stage(REFERENCE),) if cascade is None else cascade.stages
    names = [f"stage-{number}.onnx" for number in range(len(stages) - 1)]
    pairs = zip(stages, [*names, "model.onnx"], strict=True)
    return [(stage, name) for stage, name in pairs if stage.kind != LINEAR]


class OnnxRunner:
    """An exported model in a folder, run by ONNX Runtime on the CPU."""

    device = torch.device("cpu")

    def __init__(
        self, folder: Path, config: TerselyConfig, longest_document: int, int8: bool
    ) -> None:
        require("onnxruntime", "onnx")
        self.config, self.cascade = config, config.cascade_stages()
        self.linear: LinearStage | None = None
        files = {name for _, name in graph_names(self.cascade)}
        files |= set() if config.linear is None else {LINEAR_FILE}
        for name in sorted(files):
            if not (folder / name).is_file():
                raise ModelError(f"expected {folder / name}, which is not there; export again")
        if config.linear is not None:
            self.linear = LinearStage(LinearForm.from_dict(config.linear))
            self.linear.load_state_dict(load_file(folder / LINEAR_FILE))
        self.longest_document = longest_document
        self.dtype_name = "int8" if int8 else "float32"
        self._folder = folder
        self._threads = torch.get_num_threads()
        self._sessions: dict[tuple[str, int], Any] = {}

    def run(self, encoded: EncodedDocuments, budget: int = 0, progress: Progress = None) -> Forward:
        """Return logits `(documents, labels)` in the documents' order, and MACs.

        There are no batches to have a budget; `progress` is called with 1 after each document, of a
        cascade with the number that a stage has answered.
        """
        if self.cascade is None:
            return self.run_stage(Stage(REFERENCE), encoded, progress)
        return run_stages(self, encoded, self.run_stage, progress)

    def under_cascade(self, cascade: Cascade) -> Self:
        """Return the same export, its graphs shared, at another point of its cascade."""
        twin = copy.copy(self)
        twin.config, twin.cascade = copy.copy(self.config), cascade
        twin.config.cascade = cascade.to_dict()
        return twin

    def run_stage(
        self, stage: Stage, encoded: EncodedDocuments, progress: Progress = None
    ) -> Forward:
        """Run the graph of a stage over documents."""
        graph = next(name for each, name in graph_names(self.cascade) if each == stage)
        many = len(encoded.windows) > 1 and self._threads > 1
        session = self._session(graph, 1 if many else self._threads)
        # Families without token types leave them out of the graph.
        wanted = {each.name for each in session.get_inputs()}
        starts, counts = encoded.starts, encoded.counts

        def document(number: int) -> tuple[np.ndarray, int, int]:
            windows = range(starts[number], starts[number] + counts[number])
            feeds = [_feeds(encoded, window, wanted) for window in windows]
            results = [session.run(None, each) for each in feeds]
            logits, encoder, everything = zip(*results, strict=True)
            return np.concatenate(logits).mean(0), sum(map(int, encoder)), sum(map(int, everything))

        logits = np.zeros((len(encoded), self.config.num_labels), dtype=np.float32)
        encoder = everything = 0
        # The longest first, so that no core is left with one at the end.
        order = np.argsort(-encoded.sizes, kind="stable").tolist()
        with ThreadPoolExecutor(self._threads if many else 1) as pool:
            for number, (row, blocks, total) in zip(order, pool.map(document, order), strict=True):
                logits[number] = row
                encoder, everything = encoder + blocks, everything + total
                if progress is not None:
                    progress(1)
        return Forward(logits, encoder, everything)

    def _session(self, graph: str, threads: int) -> Any:
        """Return a graph, ready to run on so many threads; made once for each number of them."""
        if (graph, threads) in self._sessions:
            return self._sessions[graph, threads]
        runtime = require("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Cores that wait for the next document would otherwise keep themselves, and others, busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file, providers = str(self._folder / graph), ["CPUExecutionProvider"]
        try:
            session = runtime.InferenceSession(file, options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common base but this one
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"the graph {file} cannot be loaded: {reason}") from error
        return self._sessions.setdefault((graph, threads), session)


def _feeds(encoded: EncodedDocuments, window: int, wanted: set[str]) -> dict[str, np.ndarray]:
    ids = encoded.windows[window].astype(np.int64)
    types = np.zeros_like(ids) if encoded.types is None else encoded.types[window]
    feeds = {"input_ids": ids, "token_type_ids": types.astype(np.int64)}
    return {name: values for name, values in feeds.items() if name in wanted}
