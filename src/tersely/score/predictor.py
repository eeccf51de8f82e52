"""A trained model as a function from tables to tables, for worker processes, Ray and Spark.

It gives every row an answer or a reason: among millions of rows a few bad ones are normal, so they
are set aside one by one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tersely.classifier import Classifier
from tersely.errors import DataError, name_all
from tersely.modeling.inference import Forward
from tersely.text.labels import is_blank

DIGITS = 6  # what float32 can hold of a probability; more would be noise
REASON = "reason"  # the column that says why a row has no label; null where it has one


class Predictor:
    """Labels for the rows of Arrow tables; for pandas, see the page on scoring.

    Args:
        model: a directory or a Hub name.
        text_column: the column of texts.
        pair_column: the column of second texts.
        id_columns: columns that are kept.
        probabilities: also give the probability of every label.
        keep: another share of tokens to keep than the model was trained with.
        audit: the share of documents, drawn at random, whose early answers a cascade's reference
            checks.
        **loading: as of `Classifier.from_pretrained`: `device`, `batch_tokens`, `threads`, ….

    Raises:
        ModelError: if the model cannot be read, or has nothing that an audit could watch.
        DataError: if an id column has the name of one that is added, or `audit` is no share.

    Example:
        >>> predictor = Predictor("model/", id_columns=["id"])  # doctest: +SKIP
        >>> predictor(pa.table({"id": [7], "text": ["fine"]}))  # doctest: +SKIP
    """

    progress: Callable[[int], None] | None = None  # is told how many more documents are done

    def __init__(
        self,
        model: str,
        *,
        text_column: str = "text",
        pair_column: str | None = None,
        id_columns: Sequence[str] = (),
        probabilities: bool = False,
        keep: float | None = None,
        audit: float = 0.0,
        **loading: Any,
    ) -> None:
        if not 0 <= audit <= 1:
            raise DataError(f"audit must be a share from 0 to 1, got {audit:g}; 1 % is 0.01")
        self.classifier = Classifier.from_pretrained(model, **loading)
        if keep is not None:
            self.classifier = self.classifier.with_options(keep=keep)
        self.text_columns = [text_column] if pair_column is None else [text_column, pair_column]
        self.id_columns = list(id_columns)
        self.probabilities = probabilities
        self.share = audit
        if audit:
            self.classifier.new_audit()  # refuses a model that has nothing to watch
        self.begin(0)
        added = {*self._columns([[]]), REASON}
        if taken := [name for name in self.id_columns if name in added]:
            raise DataError(
                f"the columns {name_all(sorted(added))} are added, but {name_all(taken)} is to be "
                "kept; rename it in the input, or keep other columns"
            )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return for every row of a table the columns that are kept, and what was decided.

        `reason` says why nothing was: null, empty text, not a string, not UTF-8.
        """
        texts, reasons = self._read(table)
        good = [row for row, reason in enumerate(reasons) if reason is None]
        columns = self._columns([[column[row] for row in good] for column in texts])
        places = dict(zip(good, range(len(good)), strict=True))
        taken = pa.array([places.get(row) for row in range(table.num_rows)], pa.int64())
        result = table.select(self.id_columns)
        for name, array in columns.items():
            result = result.append_column(name, array.take(taken))
        return result.append_column(REASON, pa.array(reasons, pa.string()))

    def _read(self, table: pa.Table) -> tuple[list[list[str | None]], list[str | None]]:
        """Return the texts of each column, and for each row the first reason against it."""
        texts, reasons = [], [None] * table.num_rows
        for name in self.text_columns:
            cells, why = read_cells(table.column(name).combine_chunks())
            texts.append(cells)
            if len(self.text_columns) > 1:
                why = [reason and f"{name}: {reason}" for reason in why]
            reasons = [old or new for old, new in zip(reasons, why, strict=True)]
        return texts, reasons

    def _columns(self, texts: list[list[str]]) -> dict[str, pa.Array]:
        """Return what is decided as Arrow's columns, of the same types for any number of rows."""
        nothing = np.zeros((0, len(self.classifier.classes_)), np.float32)
        forward = Forward(nothing, 0, 0, confidence=nothing[:, 0])
        forward = self._forward(texts) if texts[0] else forward
        apart = self.classifier.set_apart(forward)
        self.tally["review"] += 0 if apart is None else int(apart.sum())
        whole = self.classifier.model_config.whole_labels
        kinds = {"label": pa.int64() if whole else pa.string(), "score": pa.float64()}
        if self.classifier.label_space.problem_type == "multi_label_classification":
            kinds = {name: pa.list_(kind) for name, kind in kinds.items()}
        kinds["review"] = pa.bool_()
        every = self.probabilities
        columns = prediction_columns(self.classifier, forward.logits, apart, every=every)
        return {name: pa.array(col, kinds.get(name, pa.float64())) for name, col in columns.items()}

    def _forward(self, texts: list[list[str]]) -> Forward:
        # What was too long is said of millions of documents together.
        encoded = self.classifier.encode(*texts, tell=False)
        report, forward = encoded.report, self.classifier.forward(encoded, self.progress)
        self.tally.update(long=report.affected, unknown=report.unknown)
        self.tally.update(tokens=report.tokens, unread=report.unread)
        if self.share:
            audit = self.classifier.new_audit()
            # Drawn before anybody knows who answered, and by place: equal texts differ.
            drawn = self.draw.random(len(encoded)) < self.share
            self.classifier.watch(audit, encoded, forward, drawn)
            self.tally.update(audited=audit.audited, differing=audit.differing)
        return forward

    def begin(self, number: int) -> None:
        """Forget what was counted so far; the draw of the audit is that of this shard's number."""
        self.tally: Counter[str] = Counter()  # by the names of `tersely.score.parts.Count`
        self.draw = np.random.default_rng(number)


def prediction_columns(
    classifier: Classifier,
    logits: np.ndarray,
    apart: np.ndarray | None = None,
    *,
    every: bool = False,
) -> dict[str, Any]:
    """Return what logits `(documents, labels)` decide: `label` and `score`, or `prediction`.

    The first two are lists where several labels may hold; `every` adds `probability_<label>`, and
    `apart` (see `Classifier.set_apart`) `review`.
    """
    decided, space = classifier.decide(logits), classifier.label_space
    if space.problem_type == "regression" and not every:
        return {"prediction": [round(value, DIGITS) for value in decided]}
    shares = classifier.probabilities(logits).astype(np.float64).round(DIGITS)
    several = space.problem_type == "multi_label_classification"
    scores = [
        [float(row[space.label2id[name]]) for name in (names if several else [names])]
        for names, row in zip(decided, shares, strict=True)
    ]
    scores = scores if several else [score for (score,) in scores]
    if classifier.model_config.whole_labels:
        decided = [int(name) for name in decided]
    columns: dict[str, Any] = {"label": decided, "score": scores}
    if every:
        columns |= {f"probability_{name}": shares[:, i] for i, name in enumerate(space.names)}
    return columns if apart is None else columns | {"review": apart.tolist()}


def read_cells(column: pa.Array) -> tuple[list[str | None], list[str | None]]:
    """Return for each row its text or None, and why there is none; bytes are taken as UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        cells = column.to_pylist()
    except UnicodeDecodeError:
        # Parquet does not check what is declared to be text; as bytes it is judged row by row.
        cells = column.cast(pa.large_binary()).to_pylist()
    judged = [_judge(cell) for cell in cells]
    return [text for text, _ in judged], [reason for _, reason in judged]


def _judge(cell: Any) -> tuple[str | None, str | None]:
    if cell is None:
        return None, "null"
    if isinstance(cell, bytes):
        try:
            cell = cell.decode("utf-8")
        except UnicodeDecodeError as error:
            return None, f"not UTF-8 (byte {error.start})"
    if not isinstance(cell, str):
        return None, f"not a string ({type(cell).__name__})"
    return (None, "empty text") if is_blank(cell) else (cell, None)
