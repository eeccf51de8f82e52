"""From logits to labels and probabilities, and how good they are.

The steps from logits (argmax, or a sigmoid at one half; softmax) are written here and nowhere else,
so that every figure that tersely reports is comparable with every other. Predicting takes numpy
alone; scikit-learn is imported where figures are computed.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersely.errors import DataError, require
from tersely.text.labels import MULTI_LABEL, REGRESSION, SINGLE_LABEL

Interval = tuple[float, float]
"""The lower and upper end of a 95 % interval."""

COVERAGES = (1.0, 0.9, 0.75, 0.5, 0.25)
"""The shares of documents at which coverage is set against error."""


@dataclass(frozen=True)
class Comparison:
    """The correct predictions of one against another's, document by document.

    `better` and `worse` are documents that only one of them has right, `difference` is that of the
    accuracies, its interval of documents drawn in pairs, `p_value` of McNemar's exact test.
    """

    better: int
    worse: int
    difference: float
    interval: Interval
    p_value: float

    @property
    def conclusive(self) -> bool:
        """Whether the interval leaves no difference out."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def __str__(self) -> str:
        low, high = (f"{100 * end:+.1f}" for end in self.interval)
        doubt = "" if self.conclusive else ", not conclusive"
        return f"{100 * self.difference:+.1f} points ({low} to {high}{doubt})"


@dataclass(frozen=True)
class ClassReport:
    """How the classes fare, and how much better it is to answer only what one is sure of.

    Attributes:
        classes: of each name `precision`, `recall`, `f1` and `support`, its documents.
        averages: the same, `"macro"` and `"weighted"` by support, over the classes that occur or
            are predicted.
        confusions: wanted, predicted and how often, the most frequent first; single labels only.
        never_predicted: classes that occur and were never predicted.
        coverage: the `error` among the surest documents, for each `coverage`, with the `confidence`
            that the least sure of them has.
        wrong: numbers of the documents that were wrong, the surest first.
    """

    classes: dict[str, dict[str, float]]
    averages: dict[str, dict[str, float]]
    confusions: list[tuple[str, str, int]]
    never_predicted: list[str]
    coverage: list[dict[str, float]]
    wrong: list[int]


def predict_from_logits(
    logits: np.ndarray, problem_type: str = SINGLE_LABEL, *, like: np.ndarray | None = None
) -> np.ndarray:
    """Return the prediction of logits `(documents, labels)`.

    It is label indices `(documents,)`; or 0 and 1 `(documents, labels)` where the sigmoid exceeds
    one half; or, for regression, the logits themselves `(documents, 1)`. `like` are labels to
    compare with. Of several labels they may have further columns, for labels that the model does
    not know (see `LabelSpace.encode`); the predictions get as many, all 0.
    """
    if problem_type == SINGLE_LABEL:
        return logits.argmax(axis=1)
    if problem_type == REGRESSION:
        if logits.shape[1] != 1:
            raise DataError(
                f"expected a regression of one target, got one of {logits.shape[1]}; take the "
                "logits, which are the numbers of all targets"
            )
        return logits
    predicted = (logits > 0).astype(np.int64)
    more = 0 if like is None else max(0, like.shape[1] - logits.shape[1])
    return np.pad(predicted, ((0, 0), (0, more)))


def right_documents(logits: np.ndarray, labels: Any, problem_type: str) -> np.ndarray:
    """Return which documents are right, of several labels in all of them, `(documents,)` bool."""
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    return (predicted == wanted).reshape(len(predicted), -1).all(axis=1)


def scores_from_logits(logits: np.ndarray, problem_type: str | None) -> np.ndarray:
    """Return probabilities, as transformers' text classification pipeline makes them of logits.

    They are the logits for a regression; a sigmoid each where several labels may hold or there is
    but one; softmax otherwise. All `(documents, labels)`.
    """
    if problem_type == REGRESSION:
        return logits
    import torch

    wide = torch.from_numpy(logits.astype(np.float64))
    alone = problem_type == MULTI_LABEL or logits.shape[1] == 1
    return (wide.sigmoid() if alone else wide.softmax(1)).numpy().astype(logits.dtype)


def evaluate_logits(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL
) -> dict[str, float]:
    """Compare logits with labels, as `LabelSpace.encode` gives them.

    Found are shares between 0 and 1: `accuracy` (of several labels: all of them right), `macro_f1`
    (over the labels that occur or are predicted; of several labels: over all, an absent one
    counting 0) and `micro_f1`. For regression `mse`, and `pearson` and `spearman`, which are nan
    where one side is constant.
    """
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    if problem_type == REGRESSION:
        predicted = predicted[:, 0]
    if wanted.shape != predicted.shape or len(wanted) == 0:
        raise DataError(
            f"expected labels of shape {predicted.shape}, at least one document, for {problem_type}"
            f", got {wanted.shape}; give each row of the logits its label"
        )
    if problem_type == REGRESSION:
        rank = require("scipy.stats", "train").rankdata
        constant = np.ptp(predicted) == 0 or np.ptp(wanted) == 0
        scores = {"mse": float(np.mean((predicted.astype(np.float64) - wanted) ** 2))}
        for name, scale in (("pearson", np.asarray), ("spearman", rank)):
            sides = scale(predicted), scale(wanted)
            scores[name] = math.nan if constant else float(np.corrcoef(*sides)[0, 1])
        return scores
    metrics = require("sklearn.metrics", "train")
    # A trainer hands several labels over as 0.0 and 1.0.
    wanted = wanted.astype(np.int64)
    scores = {"accuracy": float(metrics.accuracy_score(wanted, predicted))}
    for average in ("macro", "micro"):
        score = metrics.f1_score(wanted, predicted, average=average, zero_division=0)
        scores[f"{average}_f1"] = float(score)
    return scores


def confidences(logits: np.ndarray, problem_type: str = SINGLE_LABEL) -> np.ndarray:
    """Return how probable the answers are, `(documents,)`; of several labels, the least sure one's.

    Raises:
        DataError: for a regression, which has no probabilities.
    """
    if problem_type == REGRESSION:
        raise DataError("expected a classification, got a regression, whose answers have no shares")
    shares = scores_from_logits(np.asarray(logits, dtype=np.float64), problem_type)
    several = problem_type == MULTI_LABEL
    return np.maximum(shares, 1 - shares).min(axis=1) if several else shares.max(axis=1)


def report_classes(
    logits: np.ndarray, labels: Any, names: Sequence[str], problem_type: str = SINGLE_LABEL
) -> ClassReport:
    """Compare logits with labels class by class; takes what `evaluate_logits` takes, and names."""
    wanted, several = np.asarray(labels), problem_type == MULTI_LABEL
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    columns = np.arange(len(names))
    truth, said = (
        side[:, columns] > 0 if several else side[:, None] == columns
        for side in (wanted, predicted)
    )
    hits, support, told = (each.sum(axis=0) for each in (truth & said, truth, said))
    figures = {
        "precision": hits / np.maximum(told, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + told, 1),
    }
    rows = {name: values.tolist() for name, values in (figures | {"support": support}).items()}
    seen = (support + told) > 0
    averages = {}
    for name, weights in (("macro", seen), ("weighted", support)):
        means = {key: float(np.average(each, weights=weights)) for key, each in figures.items()}
        averages[name] = means | {"support": int(support.sum())}
    right = right_documents(logits, labels, problem_type)
    sure = confidences(logits, problem_type)
    order = np.argsort(-sure, kind="stable")
    coverage = []
    for share in COVERAGES:
        count = max(1, round(share * len(order)))
        error = 1 - float(right[order[:count]].mean())
        least = float(sure[order[count - 1]])
        coverage.append({"coverage": count / len(order), "confidence": least, "error": error})
    pairs = [] if several else zip(wanted[~right].tolist(), predicted[~right].tolist(), strict=True)
    called = dict(enumerate(names))
    return ClassReport(
        classes={name: {key: rows[key][i] for key in rows} for i, name in enumerate(names)},
        averages=averages,
        confusions=[
            (called.get(one, "unknown to the model"), called[other], count)
            for (one, other), count in Counter(pairs).most_common()
        ],
        never_predicted=[names[i] for i in np.flatnonzero((support > 0) & (told == 0))],
        coverage=coverage,
        wrong=order[~right[order]].tolist(),
    )


def verdict(
    logits: np.ndarray,
    labels: Any,
    names: Sequence[str],
    problem_type: str = SINGLE_LABEL,
    linear: np.ndarray | None = None,
    times: float = 1.0,
) -> str:
    """Say in a sentence or two what a model is worth, with paired 95 % intervals.

    It is compared with always answering the most frequent class, of single labels, or the mean, and
    with the logits of its linear stage, where there is one, which is `times` as fast.
    """
    if problem_type == REGRESSION:
        off, spread = (np.square(labels - each) for each in (logits[:, 0], np.mean(labels)))
        low, high = bootstrap(off - spread, np.mean, draws=1000)
        found = f"{off.mean() - spread.mean():+.3g} ({low:+.3g} to {high:+.3g})"
        text = f"the mean squared error of {len(off):,} documents is {off.mean():.3g}, {found}"
        return f"{text} compared with always predicting the mean."
    text = spell_share(right_documents(logits, labels, problem_type), "documents")
    if problem_type == SINGLE_LABEL:
        most = np.bincount(np.asarray(labels).clip(min=0), minlength=len(names)).argmax()
        always = np.tile(np.eye(len(names))[most], (len(logits), 1))
        found = compare(logits, always, labels, problem_type)
        text += f", {found} compared with always predicting {names[most]!r}"
    if linear is not None:
        found = compare(logits, linear, labels, problem_type)
        alone = 100 * right_documents(linear, labels, problem_type).mean()
        is_as = "is better:" if found.difference < 0 else "reaches"
        if not found.conclusive and found.difference < 0.01:
            is_as = "is as good, as far as these documents can tell:"
        alone = f"{is_as} {alone:.1f} % at {spell_times(times)}"
        text += f"; the linear stage alone {alone}, and the full model adds {found}"
    return text + "."


def spell_times(ratio: float) -> str:
    """Say how fast something is beside another, in two digits: `60 times the speed`."""
    return f"{float(f'{ratio:.2g}'):,g} times the speed"


def spell_share(right: np.ndarray, what: str) -> str:
    """Say how many of what are right, by marks `(documents,)` bool, with the 95 % interval."""
    low, high = (100 * end for end in share_interval(int(right.sum()), len(right)))
    share = f"{100 * right.mean():.1f} % of {len(right):,} {what} are classified correctly"
    return f"{share} ({low:.1f} to {high:.1f} %)"


def share_interval(count: int, documents: int) -> Interval:
    """Return the exact interval of a share, such as the accuracy."""
    found = require("scipy.stats", "bench").binomtest(count, documents).proportion_ci()
    return float(found.low), float(found.high)


def compare(
    logits: np.ndarray, base: np.ndarray, labels: np.ndarray, problem_type: str, *, seed: int = 0
) -> Comparison:
    """Compare the correct predictions of one with another's, the base's."""
    mine, theirs = (right_documents(each, labels, problem_type) for each in (logits, base))
    better, worse = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    gains = mine.astype(float) - theirs
    interval = bootstrap(gains, np.mean, draws=1000, seed=seed)
    test = require("scipy.stats", "bench").binomtest
    p_value = float(test(worse, better + worse).pvalue) if better + worse else 1.0
    return Comparison(better, worse, float(gains.mean()), interval, p_value)


def bootstrap(
    values: np.ndarray, statistic: Callable[..., Any], *, draws: int, seed: int = 0
) -> Interval:
    """Return the percentile interval of a statistic by scipy's bootstrap."""
    if len(values) == 1:  # every draw is the same one, which scipy refuses
        return float(values[0]), float(values[0])
    options = {"n_resamples": draws, "method": "percentile", "batch": 100}
    draw = require("scipy.stats", "bench").bootstrap
    found = draw((values,), statistic, random_state=seed, **options).confidence_interval
    return float(found.low), float(found.high)


def calibration_error(
    logits: np.ndarray, labels: Any, problem_type: str = SINGLE_LABEL, bins: int = 15
) -> float | None:
    """Return the expected calibration error (Guo et al., arXiv 1706.04599); None for a regression.

    Predictions are sorted into bins of equal width by their confidence; the error is the mean
    distance between confidence and share of right ones, weighted by the bins' sizes. Where several
    labels may hold, each decision about a label counts as a prediction.
    """
    if problem_type == REGRESSION:
        return None
    wanted = np.asarray(labels)
    predicted = predict_from_logits(logits, problem_type, like=wanted)
    shares = scores_from_logits(np.asarray(logits, dtype=np.float64), problem_type)
    if problem_type == MULTI_LABEL:
        # Of a label that the model does not know, it is sure that it does not hold.
        shares = np.pad(shares, ((0, 0), (0, predicted.shape[1] - shares.shape[1])))
        confidence = np.maximum(shares, 1 - shares).ravel()
        right = (predicted == wanted).ravel()
    else:
        confidence, right = shares.max(axis=1), predicted == wanted
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    surplus = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))
