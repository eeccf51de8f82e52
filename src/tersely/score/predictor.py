"""A trained model as a function from tables to tables, for worker processes, Ray and Spark.

It gives every row an answer or a reason, and when memory runs out it goes on with smaller batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tersely.classifier import Classifier
from tersely.errors import DataError, DeviceError, TerselyWarning, name_all
from tersely.score.cells import read_cells
from tersely.score.columns import prediction_arrays
from tersely.text.batching import fill_batches
from tersely.text.encoding import EncodedDocuments, LengthReport

__all__ = ["REASON", "Predictor"]

REASON = "reason"
"""The column that says why a row has no label; null where it has one."""

_SMALLEST_BUDGET = 16
# As torch's allocators for the CPU say it; on CUDA there is an exception of its own.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")


class Predictor:
    """Labels for the rows of Arrow tables; for pandas, see the page on scoring.

    Args:
        model: a directory or a Hub name.
        text_column: the column of texts.
        pair_column: the column of second texts.
        id_columns: columns that are kept.
        probabilities: also give the probability of every label.
        keep: another share of tokens to keep than the model was trained with.
        threads: threads of torch; None for the model's own number, or else the process's.
        **loading: as of `Classifier.from_pretrained`, such as `device` and `batch_tokens`.

    Attributes:
        report: what the length policy did to the documents so far, None before the first.
        unknown: documents so far of which the tokenizer knows nothing.

    Raises:
        ModelError: if the model cannot be read.
        DataError: if an id column has the name of one that is added.

    Example:
        >>> predictor = Predictor("model/", id_columns=["id"])  # doctest: +SKIP
        >>> predictor(pa.table({"id": [7], "text": ["fine"]}))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        *,
        text_column: str = "text",
        pair_column: str | None = None,
        id_columns: Sequence[str] = (),
        probabilities: bool = False,
        keep: float | None = None,
        threads: int | None = None,
        **loading: Any,
    ) -> None:
        self.classifier = Classifier.from_pretrained(model, **loading)
        if keep is not None:
            self.classifier = self.classifier.with_options(keep=keep)
        if threads is not None:
            self.classifier.execution = replace(self.classifier.execution, threads=threads)
        self.text_columns = [text_column] if pair_column is None else [text_column, pair_column]
        self.id_columns = list(id_columns)
        self.probabilities = probabilities
        self.report: LengthReport | None = None
        self.unknown = 0
        added = {*self._arrays(np.zeros((0, len(self.classifier.classes_)), np.float32)), REASON}
        taken = [name for name in self.id_columns if name in added]
        if taken:
            raise DataError(
                f"the columns {name_all(sorted(added))} are added, and {name_all(taken)} is to be "
                "kept; rename it in the input, or keep others"
            )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Label the rows of a table.

        Args:
            table: the columns of texts, and those to be kept.

        Returns:
            For every row the columns that are kept, what was decided, and `reason`, which says why
            nothing was: null, empty text, not a string, not UTF-8.
        """
        texts, reasons = self._read(table)
        good = [row for row, reason in enumerate(reasons) if reason is None]
        logits = self._logits([[column[row] for row in good] for column in texts])
        place: list[int | None] = [None] * table.num_rows
        for position, row in enumerate(good):
            place[row] = position
        rows = pa.array(place, pa.int64())
        result = table.select(self.id_columns)
        for name, array in self._arrays(logits).items():
            result = result.append_column(name, array.take(rows))
        return result.append_column(REASON, pa.array(reasons, pa.string()))

    def _read(self, table: pa.Table) -> tuple[list[list[str | None]], list[str | None]]:
        """The texts of each column, and for each row the first reason why it cannot be used."""
        texts, reasons = [], [None] * table.num_rows
        for name in self.text_columns:
            column = table.column(name).combine_chunks()
            cells, why = read_cells(column, table.schema.field(name))
            texts.append(cells)
            where = f"{name}: " if len(self.text_columns) > 1 else ""
            reasons = [
                old or (new if new is None else where + new)
                for old, new in zip(reasons, why, strict=True)
            ]
        return texts, reasons

    def _arrays(self, logits: np.ndarray) -> dict[str, pa.Array]:
        return prediction_arrays(self.classifier, logits, every=self.probabilities)

    def _logits(self, texts: list[list[str]]) -> np.ndarray:
        if not texts[0]:
            return np.zeros((0, len(self.classifier.classes_)), np.float32)
        with warnings.catch_warnings():
            # Said of millions of documents together, and not of every chunk; see `report`.
            warnings.simplefilter("ignore", TerselyWarning)
            encoded = self.classifier.encode(*texts)
        self.report = encoded.report if self.report is None else self.report + encoded.report
        self.unknown += encoded.report.unknown
        while True:
            try:
                return self.classifier.forward(encoded).logits
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
            # Only here, where the exception no longer holds on to the tensors of the failed pass.
            self._use_less_memory(encoded)

    def _use_less_memory(self, encoded: EncodedDocuments) -> None:
        before = self.classifier.batch_tokens
        alone = len(fill_batches(encoded.sizes, before)) == len(encoded)
        if alone or before // 2 < _SMALLEST_BUDGET:
            raise DeviceError(
                f"there is too little memory for one document of {int(encoded.sizes.max()):,} "
                "tokens alone; lower --max-length, or use fewer --workers"
            )
        self.classifier.batch_tokens = before // 2
        if self.classifier.device.type == "cuda":
            torch.cuda.empty_cache()
        warnings.warn(
            f"memory ran out with {before:,} tokens in a batch; going on with {before // 2:,}",
            TerselyWarning,
            stacklevel=4,
        )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _OUT_OF_MEMORY)
