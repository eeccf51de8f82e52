"""TF-IDF with logistic regression: the contender that an encoder has to be worth its price against.

Words and pairs of words by frequency, one linear layer on top, both scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tersely.bench.contenders import TextContender
from tersely.errors import DataError, require

__all__ = ["LinearContender", "fit_classifier", "scores_of"]


class LinearContender(TextContender):
    """TF-IDF (words and pairs, sublinear counts) and logistic regression, of scikit-learn.

    Args:
        problem_type: one label or several for a document.
        name: how the report calls it.
    """

    about = "TF-IDF of words and pairs of words, logistic regression (scikit-learn)"

    def __init__(
        self, problem_type: str = "single_label_classification", name: str = "tfidf"
    ) -> None:
        self.name = name
        self._problem_type = problem_type
        self._source: str | None = None
        self._model: Any = None
        self._vectorizer: Any = None

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit words and weights on texts with labels, indices or 0 and 1 `(documents, labels)`."""
        text = require("sklearn.feature_extraction.text", "bench")
        self._vectorizer = text.TfidfVectorizer(
            ngram_range=(1, 2), min_df=2 if len(texts) >= 100 else 1, sublinear_tf=True
        )
        features = self._vectorizer.fit_transform(texts)
        self._model = fit_classifier(features, labels, self._problem_type)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Logits `(documents, labels)`."""
        return scores_of(self._model, self._vectorizer.transform(texts))

    def save(self, folder: Path) -> None:
        """Keep what was fitted, for the process that measures memory; by skops, so no pickle."""
        require("skops.io", "bench").dump((self._vectorizer, self._model), folder / "linear.skops")
        self._source = str(folder)

    def load(self, folder: Path) -> None:
        """Take what `save` kept in a folder of one's own."""
        found = require("skops.io", "bench").load(folder / "linear.skops")
        self._vectorizer, self._model = found
        self._source = str(folder)

    def spec(self) -> dict[str, Any] | None:
        """What builds this contender again; None before `save`."""
        if self._source is None:
            return None
        about = {"name": self.name, "problem_type": self._problem_type}
        return {"kind": "linear", "folder": self._source} | about

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> LinearContender:
        """Load the contender that `spec` describes."""
        contender = cls(spec["problem_type"], spec["name"])
        contender.load(Path(spec["folder"]))
        return contender


def fit_classifier(features: Any, labels: np.ndarray, problem_type: str) -> Any:
    """Logistic regression on features `(documents, features)`, one a label where several may hold.

    Raises:
        DataError: for a regression, or a class without a document: a column would be missing, and
            those behind it be taken for others.
    """
    linear = require("sklearn.linear_model", "bench")
    if problem_type == "regression":
        raise DataError("the linear contenders classify, and these labels are numbers; leave out")
    several = problem_type == "multi_label_classification"
    absent = np.flatnonzero((labels.sum(axis=0) if several else np.bincount(labels)) == 0)
    if len(absent):
        raise DataError(
            "a linear contender needs documents of every class, and there are none of "
            f"{', '.join(map(str, absent[:5]))}, counted from 0; add some"
        )
    model = linear.LogisticRegression(max_iter=1000, C=10.0)
    if several:
        model = require("sklearn.multiclass", "bench").OneVsRestClassifier(model)
    return model.fit(features, labels)


def scores_of(model: Any, features: Any) -> np.ndarray:
    """Logits `(documents, labels)` of a fitted classifier; of two labels scikit-learn gives one."""
    scores = np.asarray(model.decision_function(features), dtype=np.float32)
    if scores.ndim == 1:
        return np.stack([np.zeros_like(scores), scores], axis=1)
    return scores
