"""What an encoder has to be worth its price against: a linear model without attention.

What was fitted is kept as plain arrays, without scikit-learn's pickles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tersely.bench.contenders import TextContender
from tersely.errors import DataError, require


class TfidfContender(TextContender):
    """TF-IDF of words and pairs of words, sublinear counts, and logistic regression on them."""

    about = "TF-IDF of words and pairs of words, logistic regression (scikit-learn)"

    def __init__(self, name: str = "tfidf") -> None:
        self.name = name
        self._folder: str | None = None

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit on texts with labels: indices `(documents,)`, or 0 and 1 `(documents, labels)`.

        A class without a document is refused: those behind it would be taken for others.
        """
        if labels.dtype.kind == "f" and labels.ndim == 1:
            raise DataError("tfidf classifies, and these labels are numbers; leave it out")
        several = labels.ndim == 2
        absent = np.flatnonzero((labels.sum(axis=0) if several else np.bincount(labels)) == 0)
        if len(absent):
            raise DataError(
                "tfidf needs documents of every class, and there are none of "
                f"{', '.join(map(str, absent[:5]))}, counted from 0; add some"
            )
        # A rare word needs two documents, where there are enough of them.
        self._words = _vectorizer(min_df=2 if len(texts) >= 100 else 1)
        features = self._words.fit_transform(texts)
        model = require("sklearn.linear_model", "bench").LogisticRegression(max_iter=1000, C=10.0)
        if several:
            model = require("sklearn.multiclass", "bench").OneVsRestClassifier(model)
        model.fit(features, labels)
        parts = model.estimators_ if several else [model]
        self._weights = np.concatenate([part.coef_ for part in parts])
        self._bias = np.concatenate([part.intercept_ for part in parts])

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return logits `(documents, labels)`."""
        found = self._words.transform(texts) @ self._weights.T + self._bias
        found = np.asarray(found, dtype=np.float32)
        # Of two labels there is one figure, for the second against the first.
        return np.concatenate([0 * found, found], axis=1) if found.shape[1] == 1 else found

    def save(self, folder: Path) -> None:
        """Keep what was fitted, for the process that measures memory."""
        words = self._words.get_feature_names_out().tolist()
        (folder / "words.json").write_text(json.dumps(words))
        self._folder = str(folder)
        arrays = {"weights": self._weights, "bias": self._bias, "idf": self._words.idf_}
        np.savez(folder / "linear.npz", **arrays)

    def spec(self) -> dict[str, Any] | None:
        """Return the name and the folder; None before `save`."""
        return None if self._folder is None else {"name": self.name, "folder": self._folder}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> TfidfContender:
        """Load the contender that `save` kept."""
        made, folder = cls(spec["name"]), Path(spec["folder"])
        made._words = _vectorizer(vocabulary=json.loads((folder / "words.json").read_text()))
        kept = np.load(folder / "linear.npz")
        made._words.idf_, made._weights, made._bias = (kept[n] for n in ("idf", "weights", "bias"))
        return made


def _vectorizer(**options: Any) -> Any:
    text = require("sklearn.feature_extraction.text", "bench")
    return text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **options)
