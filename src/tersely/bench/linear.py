"""What an encoder has to be worth its price against: linear models without attention.

Both classify with scikit-learn's logistic regression: `tfidf` on the frequencies of words and pairs
of words, `static` on the mean of one vector a word piece. What was fitted is kept as plain arrays,
without scikit-learn's pickles.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from tersely.bench.contenders import TextContender
from tersely.errors import DataError, require


class LinearContender(TextContender):
    """Features of a text, and logistic regression on them; `encoder` for those that need one."""

    def __init__(self, problem_type: str, name: str, encoder: str | None = None) -> None:
        self.name, self._problem_type, self._encoder = name, problem_type, encoder
        self._folder: str | None = None

    @abstractmethod
    def _learn(self, texts: Sequence[str]) -> Any:
        """Return what the features need to know."""

    @abstractmethod
    def _features(self, texts: Sequence[str]) -> Any:
        """Return a row of features for each text, dense or sparse."""

    @abstractmethod
    def _keep(self, folder: Path) -> None:
        """Write what was learned."""

    @abstractmethod
    def _load(self, folder: Path) -> Any:
        """Read what was learned."""

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit on texts with labels: indices `(documents,)`, or 0 and 1 `(documents, labels)`.

        Raises:
            DataError: for a regression, or a class without a document: a column would be missing,
                and those behind it be taken for others.
        """
        if self._problem_type == "regression":
            raise DataError(
                "the linear contenders classify, and these labels are numbers; leave them out"
            )
        several = labels.ndim == 2
        absent = np.flatnonzero((labels.sum(axis=0) if several else np.bincount(labels)) == 0)
        if len(absent):
            raise DataError(
                "a linear contender needs documents of every class, and there are none of "
                f"{', '.join(map(str, absent[:5]))}, counted from 0; add some"
            )
        self._learnt = self._learn(texts)
        model = require("sklearn.linear_model", "bench").LogisticRegression(max_iter=1000, C=10.0)
        if several:
            model = require("sklearn.multiclass", "bench").OneVsRestClassifier(model)
        model.fit(self._features(texts), labels)
        parts = model.estimators_ if several else [model]
        self._weights = np.concatenate([part.coef_ for part in parts])
        self._bias = np.concatenate([part.intercept_ for part in parts])

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return logits `(documents, labels)`."""
        found = np.asarray(self._features(texts) @ self._weights.T + self._bias, dtype=np.float32)
        # Of two labels there is one figure, for the second against the first.
        return np.concatenate([0 * found, found], axis=1) if found.shape[1] == 1 else found

    def save(self, folder: Path) -> None:
        """Keep what was fitted, for the next comparison and the process that measures memory."""
        self._folder = str(folder)
        made_with = [self._problem_type, self.name, self._encoder]
        (folder / "made_with.json").write_text(json.dumps(made_with))
        np.savez(folder / "linear.npz", weights=self._weights, bias=self._bias)
        self._keep(folder)

    def spec(self) -> dict[str, Any] | None:
        """Return the folder; None before `save`."""
        return None if self._folder is None else {"folder": self._folder}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Load the contender that `save` kept."""
        folder = Path(spec["folder"])
        made = cls(*json.loads((folder / "made_with.json").read_text()))
        kept = np.load(folder / "linear.npz")
        made._weights, made._bias, made._folder = kept["weights"], kept["bias"], str(folder)
        made._learnt = made._load(folder)
        return made


class TfidfContender(LinearContender):
    """TF-IDF of words and pairs of words, sublinear counts, by scikit-learn."""

    about = "TF-IDF of words and pairs of words, logistic regression (scikit-learn)"

    def _vectorizer(self, **options: Any) -> Any:
        text = require("sklearn.feature_extraction.text", "bench")
        return text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **options)

    def _learn(self, texts: Sequence[str]) -> Any:
        # A rare word needs two documents, where there are enough of them.
        return self._vectorizer(min_df=2 if len(texts) >= 100 else 1).fit(texts)

    def _features(self, texts: Sequence[str]) -> Any:
        return self._learnt.transform(texts)

    def _keep(self, folder: Path) -> None:
        words = self._learnt.get_feature_names_out().tolist()
        (folder / "words.json").write_text(json.dumps(words))
        np.save(folder / "idf.npy", self._learnt.idf_)

    def _load(self, folder: Path) -> Any:
        made = self._vectorizer(vocabulary=json.loads((folder / "words.json").read_text()))
        made.idf_ = np.load(folder / "idf.npy")
        return made


class StaticContender(LinearContender):
    """The mean of static vectors of word pieces, distilled from an encoder by model2vec's recipe.

    Each word piece goes through the encoder alone, principal components are kept, and frequent
    pieces count less. No other weights are needed, and all contenders know the same pretraining.
    The recipe is written out here because model2vec's own code for it asks for transformers before
    5.4; what runs is model2vec.
    """

    about = "static word piece vectors distilled from the encoder (model2vec), logistic regression"

    def _learn(self, texts: Sequence[str]) -> Any:
        from tersely.modeling.loading import load_tokenizer

        tokenizer = load_tokenizer(self._encoder, {})
        vectors = _distil(self._encoder, tokenizer)
        static = require("model2vec", "bench").StaticModel
        return static(vectors=vectors, tokenizer=tokenizer.backend_tokenizer)

    def _features(self, texts: Sequence[str]) -> np.ndarray:
        # Without a limit: a linear model reads whole documents, and so does the one on TF-IDF.
        return self._learnt.encode(list(texts), max_length=None, use_multiprocessing=False)

    def _keep(self, folder: Path) -> None:
        self._learnt.save_pretrained(str(folder / "vectors"))

    def _load(self, folder: Path) -> Any:
        return require("model2vec", "bench").StaticModel.from_pretrained(str(folder / "vectors"))


@torch.inference_mode()
def _distil(source: str, tokenizer: Any, dimensions: int = 256, batch: int = 1024) -> np.ndarray:
    """Return a vector for each word piece, `(pieces, dimensions)` float32."""
    from transformers import AutoConfig, AutoModel

    from tersely.modeling import TerselyConfig, padded_model

    if AutoConfig.from_pretrained(source).model_type == TerselyConfig.model_type:
        padded = padded_model(source)
        model = getattr(padded, "encoder", None) or padded.base_model
    else:
        model = AutoModel.from_pretrained(source).eval()
    # What stands before and behind a text: [CLS] and [SEP].
    bare = tokenizer("", return_attention_mask=False)["input_ids"]
    half = (len(bare) + 1) // 2
    before, after = torch.tensor(bare[:half]), torch.tensor(bare[half:], dtype=torch.long)
    rows = []
    for pieces in torch.arange(len(tokenizer))[:, None].split(batch):
        ends = [part.expand(len(pieces), -1) for part in (before, after)]
        ids = torch.cat([ends[0], pieces, ends[1]], dim=1)
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        rows.append(hidden.mean(1).float().numpy())
    vectors = np.concatenate(rows)
    pca = require("sklearn.decomposition", "bench").PCA
    vectors = pca(min(dimensions, *vectors.shape), whiten=False).fit_transform(vectors)
    # Vocabularies are sorted by frequency, more or less, which Zipf's law makes a probability.
    shares = 1 / np.arange(2, len(vectors) + 2)
    weights = 1e-4 / (1e-4 + shares / shares.sum())
    return (vectors * weights[:, None]).astype(np.float32)
