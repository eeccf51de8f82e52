"""An export behind the interface of a model: encoded documents in, logits and their cost out.

The graph reads one document at a time. Many documents are spread over the cores, each on one; a
document alone gets all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tersely.errors import ModelError, require
from tersely.modeling import TerselyConfig
from tersely.modeling.inference import Forward
from tersely.text.encoding import EncodedDocuments


class OnnxRunner:
    """An exported model of one `.onnx` file, run by ONNX Runtime on the CPU."""

    def __init__(
        self, graph: Path, config: TerselyConfig, longest_document: int, int8: bool
    ) -> None:
        require("onnxruntime", "onnx")
        if not graph.is_file():
            raise ModelError(f"expected the graph {graph}, which is not there; export again")
        self.config = config
        self.longest_document = longest_document
        self.dtype_name = "int8" if int8 else "float32"
        self._graph = graph
        self._threads = torch.get_num_threads()
        self._sessions: dict[int, Any] = {}

    def run(
        self,
        encoded: EncodedDocuments,
        budget: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> Forward:
        """Return logits `(documents, labels)` in the documents' order, and MACs.

        There are no batches to have a budget; `progress` is called with 1 after each document.
        """
        many = len(encoded.windows) > 1 and self._threads > 1
        session = self._session(1 if many else self._threads)
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
                encoder += blocks
                everything += total
                if progress is not None:
                    progress(1)
        return Forward(logits, encoder, everything)

    def _session(self, threads: int) -> Any:
        """Return the graph, ready to run on so many threads; made once for each number of them."""
        if threads in self._sessions:
            return self._sessions[threads]
        runtime = require("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Cores that wait for the next document would otherwise keep themselves, and others, busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(
                str(self._graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base but this one
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"the graph {self._graph} cannot be loaded: {reason}") from error
        return self._sessions.setdefault(threads, session)


def _feeds(encoded: EncodedDocuments, window: int, wanted: set[str]) -> dict[str, np.ndarray]:
    ids = encoded.windows[window].astype(np.int64)
    types = np.zeros_like(ids) if encoded.types is None else encoded.types[window]
    feeds = {"input_ids": ids, "token_type_ids": types.astype(np.int64)}
    return {name: values for name, values in feeds.items() if name in wanted}
