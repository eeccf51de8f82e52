"""Fit a linear stage: features from the documents, a model by cross-validation, probabilities.

The model is chosen among a few by how they answer documents that they were not fitted on, and the
same answers say how sure a margin is.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tersely._io import Progress, counting
from tersely.errors import DataError, require, warn
from tersely.linear.calibration import Calibration, calibrate
from tersely.linear.candidates import BOTH, CANDIDATES
from tersely.linear.features import Counts, choose_owners, count_pairs
from tersely.linear.stage import LinearForm, LinearStage, buckets_within, stage_bytes, weigh
from tersely.ragged import Layout
from tersely.text.labels import MULTI_LABEL, SINGLE_LABEL
from tersely.text.metrics import evaluate_logits

_CHUNK = 1 << 20  # tokens that are counted at once, for the sake of memory


@dataclass(frozen=True)
class Candidate:
    """How a model answered documents that it was not fitted on, in shares, and its seconds."""

    name: str
    accuracy: float
    macro_f1: float
    seconds: float


@dataclass(frozen=True)
class LinearFit:
    """A stage that was fitted on all documents, and what was seen on the way.

    The log-probabilities `(documents, classes)` float32 are those of a model that was fitted
    without the document's fold, so that they may set thresholds on the same documents; so are the
    `token_scores` of all pieces `(folds, vocabulary)`, where they were asked for. The chosen one of
    the candidates is the first.
    """

    stage: LinearStage
    log_probabilities: np.ndarray
    folds: np.ndarray
    candidates: tuple[Candidate, ...]
    piece_scores: tuple[np.ndarray, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of the fit, as JSON writes it."""
        form = self.stage.form
        size = stage_bytes(form.features, form.buckets, form.classes)
        found = {"form": form.to_dict(), "bytes": size, "documents": len(self.folds)}
        tried = [asdict(candidate) for candidate in self.candidates]
        return found | {"folds": int(self.folds.max()) + 1, "candidates": tried}


def fit_linear(
    input_ids: Tensor,
    boundaries: Tensor,
    labels: np.ndarray,
    *,
    classes: int,
    vocabulary: int,
    special_ids: tuple[int, ...],
    problem_type: str = SINGLE_LABEL,
    sample_weight: np.ndarray | None = None,
    most_bytes: int | None = None,
    folds: int = 5,
    scores: bool = False,
    progress: Progress = None,
) -> LinearFit:
    """Fit a linear stage on packed documents.

    Labels are the documents' own where accuracy is what counts, and a reference's answers where
    agreement with it is. Its probabilities are not asked for: a certificate counts labels that
    differ, support vector machines have no use for shares, and a document for each class would take
    as many times as long. IDF and the choice of pairs come from all documents, in each fold too.

    Args:
        input_ids: `(tokens,)`, the documents end to end, as the encoder reads them.
        boundaries: `(documents + 1,)`, where documents begin and the last one ends.
        labels: `(documents,)` numbers of classes; of several labels `(documents, classes)` 0 and 1.
        classes: how many there are, those without a document included.
        vocabulary: how many pieces the tokenizer has.
        special_ids: the pieces to leave out, the tokenizer's `all_special_ids`.
        problem_type: one label a document, or several.
        sample_weight: `(documents,)`, how much each document counts; None for all alike.
        most_bytes: of the tables in a file, a tenth of the encoder's; None for as many buckets as
            there are pairs in two documents, twice over.
        folds: parts of the cross-validation, fewer where there are fewer documents.
        scores: whether to return the scores of pieces out of fold, for one more fit of each.
        progress: called with how many of the cross-validation's fits are done.

    Raises:
        DataError: for labels that do not fit, a single class, or documents without any text.
        ModelError: for a regression.
    """
    layout = Layout(boundaries)
    several = problem_type == MULTI_LABEL
    form = LinearForm("none", classes, vocabulary, 0, tuple(special_ids), problem_type)
    wanted = _wanted(labels, len(layout), classes, several)
    weight = checked_weights(sample_weight, len(layout))
    if folds < 2:
        raise DataError(f"folds must be at least 2 for cross-validation, got {folds}")
    stage, vectors = _read(form, input_ids, layout, most_bytes)
    parts = fold_numbers(wanted, min(folds, len(layout)))

    logits, scales, seconds = _cross_validate(vectors, wanted, weight, several, parts, progress)
    tried = []
    for name, answers in logits.items():
        right = evaluate_logits(answers, labels, problem_type)
        tried.append(Candidate(name, right["accuracy"], right["macro_f1"], seconds[name]))
    # Accuracy alone would not see that a rare class is never answered.
    tried.sort(key=lambda candidate: -(candidate.accuracy + candidate.macro_f1))

    best = tried[0].name
    last = calibrate(logits[best], wanted, weight, several)
    stage.form = replace(stage.form, kind=best, temperature=last.temperature)
    without = [parts != part for part in range(int(parts.max()) + 1)] if scores else []
    found = []
    for kept in map(np.flatnonzero, (*without, parts >= 0)):
        table, bias = 0.0, last.shifts
        for member in CANDIDATES if best == BOTH else [best]:
            fit = CANDIDATES[member]
            fitted, intercept = fit(vectors[kept], wanted[kept], weight[kept], several)
            table = table + fitted / scales[member].temperature
            bias = bias + scales[member].logits(intercept)
        stage.weights.copy_(torch.from_numpy(table).half())
        found.append(stage.piece_scores())
    stage.bias.copy_(torch.from_numpy(bias))
    shifted = torch.from_numpy(logits[best] + last.shifts).float()
    logs = stage.log_probabilities(shifted).numpy()
    return LinearFit(stage, logs, parts, tuple(tried), tuple(found[:-1]))


def _cross_validate(
    vectors: Any, wanted: np.ndarray, weight: np.ndarray, several: bool, parts: Any, watch: Progress
) -> tuple[dict[str, np.ndarray], dict[str, Calibration], dict[str, float]]:
    """Return each candidate's logits out of fold, its calibration and its seconds."""
    logits, scales, seconds = {}, {}, {}
    told = counting(watch, "fitting linear models", len(CANDIDATES) * (int(parts.max()) + 1))
    for name, fit in CANDIDATES.items():
        begun = time.perf_counter()
        margins = np.zeros(wanted.shape)
        for part in range(int(parts.max()) + 1):
            kept, held = np.flatnonzero(parts != part), np.flatnonzero(parts == part)
            weights, bias = fit(vectors[kept], wanted[kept], weight[kept], several)
            margins[held] = vectors[held] @ weights + bias
            told(1)
        scales[name] = calibrate(margins, wanted, weight, several)
        logits[name] = scales[name].logits(margins)
        seconds[name] = round(time.perf_counter() - begun, 2)
    logits[BOTH], seconds[BOTH] = sum(logits.values()), round(sum(seconds.values()), 2)
    return logits, scales, seconds


def fold_numbers(wanted: np.ndarray, folds: int) -> np.ndarray:
    """Deal documents out to folds, `(documents,)`, those of a class as evenly as can be.

    Documents of several labels are dealt by their rarest one. scikit-learn's own refuse a class
    with fewer documents than folds.
    """
    rarity = np.where(wanted, wanted.sum(axis=0), len(wanted) + 1)
    shuffled = np.random.default_rng(0).permutation(len(wanted))
    order = shuffled[rarity.argmin(axis=1)[shuffled].argsort(kind="stable")]
    numbers = np.empty(len(wanted), dtype=np.int64)
    numbers[order] = np.arange(len(wanted)) % folds
    return numbers


def _wanted(labels: np.ndarray, documents: int, classes: int, several: bool) -> np.ndarray:
    """Return which classes each document has, `(documents, classes)` bool."""
    labels = np.asarray(labels)
    shape = (documents, classes) if several else (documents,)
    high = 1 if several else classes - 1
    if labels.shape != shape or not np.isin(labels, np.arange(high + 1)).all():
        got = f"values from {labels.min()} to {labels.max()}" if labels.size else "none"
        raise DataError(
            f"labels must be whole numbers from 0 to {high} of shape {shape}, got {got} of shape "
            f"{labels.shape}; give one label for each document"
        )
    wanted = labels.astype(bool) if several else labels.astype(int)[:, None] == np.arange(classes)
    # Of several labels, one that some documents have and others don't tells two kinds apart.
    held = wanted.any(axis=0)
    kinds = 1 + (held & ~wanted.all(axis=0)).sum() if several else held.sum()
    if kinds < 2:
        raise DataError(
            f"a linear stage needs documents of at least two classes, but all {documents} have the "
            "same label; add documents of another class"
        )
    return wanted


def checked_weights(sample_weight: Sequence[float] | None, documents: int) -> np.ndarray:
    """Return how much each document counts, `(documents,)` float64 above 0; None is 1 for each."""
    if sample_weight is None:
        return np.ones(documents)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (documents,) or not np.isfinite(weight).all() or not (weight > 0).all():
        raise DataError(
            f"sample_weight must be {documents} finite numbers above 0, one a document, got shape "
            f"{weight.shape}; leave out documents that shall not count"
        )
    return weight


def _read(
    form: LinearForm, input_ids: Tensor, layout: Layout, most_bytes: int | None
) -> tuple[LinearStage, Any]:
    """Return a stage without weights, and the sparse `(documents, features)` of what it sees."""
    sparse = require("scipy.sparse", "train")
    special = LinearStage(form).features.special
    pairs, documents = count_pairs(input_ids, layout, special)
    buckets = 2 * int((documents >= 2).sum())
    if most_bytes is not None:
        buckets = min(buckets, buckets_within(most_bytes, form.vocabulary, form.classes))
        if (least := stage_bytes(form.vocabulary, 0, form.classes)) > most_bytes:
            warn(
                f"the linear stage takes {least:,} bytes, although {most_bytes:,} were allowed: "
                f"{form.classes} classes for each of {form.vocabulary:,} pieces, without any pairs",
                stacklevel=3,
            )
    stage = LinearStage(replace(form, buckets=buckets))
    stage.owners.copy_(choose_owners(pairs, documents, buckets))
    counted = _counted(stage, input_ids, layout)
    held = np.zeros(stage.form.features)
    for counts in counted:
        held += np.bincount(counts.features.numpy(), minlength=len(held))
    held[list(form.special_ids)] = 0
    if not held.any():
        raise DataError(
            f"a linear stage needs documents with text, but none of {len(layout)} has any that the "
            "tokenizer knows; check the text column"
        )
    idf = np.log((1 + len(layout)) / (1 + held)) + 1  # as scikit-learn's, smoothed
    idf[list(form.special_ids)] = 0
    stage.idf.copy_(torch.from_numpy(idf).half())
    rows = []
    for counts in counted:
        # liblinear takes double precision, and indices of 32 bits.
        values, offsets = weigh(counts, stage.idf).double(), counts.layout.offsets.int()
        parts = tuple(part.numpy() for part in (values, counts.features.int(), offsets))
        rows.append(sparse.csr_array(parts, (len(counts.layout), stage.form.features)))
    return stage, sparse.vstack(rows, format="csr")


def _counted(stage: LinearStage, input_ids: Tensor, layout: Layout) -> list[Counts]:
    """Count the features of many documents, some at a time."""
    chunks = (layout.offsets[1:] - 1).clamp(min=0) // _CHUNK
    counted = []
    for documents in chunks.unique_consecutive(return_counts=True)[1].cumsum(0):
        first = sum(len(counts.layout) for counts in counted)
        ends = layout.offsets[first : int(documents) + 1]
        row = input_ids[int(ends[0]) : int(ends[-1])]
        counted.append(stage.features.count(row, Layout(ends - ends[0])))
    return counted
