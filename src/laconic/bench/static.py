"""Static embeddings (model2vec) with logistic regression: one vector a word piece, no attention.

The vectors are distilled from the encoder that the other contenders use, as model2vec does it: each
word piece goes through the encoder alone, principal components are kept, and frequent pieces count
less. No other weights are needed, and all contenders know the same pretraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import require
from .contenders import TextContender
from .linear import fit_classifier, scores_of

__all__ = ["StaticContender"]


class StaticContender(TextContender):
    """Means of static vectors of word pieces, and logistic regression on them.

    Args:
        encoder: the directory or Hub name of the encoder to distil from.
        problem_type: one label or several for a document.
        name: how the report calls it.
        dimensions: of the vectors.
    """

    about = "static word piece vectors distilled from the encoder (model2vec), logistic regression"

    def __init__(
        self,
        encoder: str,
        problem_type: str = "single_label_classification",
        name: str = "static",
        dimensions: int = 256,
    ) -> None:
        self.name = name
        self._encoder = encoder
        self._problem_type = problem_type
        self._dimensions = dimensions
        self._source: str | None = None
        self._vectors: Any = None
        self._model: Any = None

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Distil the vectors, and fit the linear layer on texts with labels."""
        from transformers import AutoModel, AutoTokenizer

        distil = require("model2vec.distill", "bench").distill_from_model
        encoder = AutoModel.from_pretrained(self._encoder)
        tokenizer = AutoTokenizer.from_pretrained(self._encoder)
        self._vectors = distil(
            model=encoder, tokenizer=tokenizer, pca_dims=self._dimensions, device="cpu"
        )
        self._model = fit_classifier(self._encode(texts), labels, self._problem_type)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Logits `(documents, labels)`."""
        return scores_of(self._model, self._encode(texts))

    def save(self, folder: Path) -> None:
        """Keep what was fitted, for the process that measures memory; the layer is a pickle."""
        self._vectors.save_pretrained(str(folder / "vectors"))
        require("joblib", "bench").dump(self._model, folder / "static.joblib")
        self._source = str(folder)

    def load(self, folder: Path) -> None:
        """Take what `save` kept in a folder of one's own."""
        static = require("model2vec", "bench").StaticModel
        self._vectors = static.from_pretrained(str(folder / "vectors"))
        self._model = require("joblib", "bench").load(folder / "static.joblib")
        self._source = str(folder)

    def spec(self) -> dict[str, Any] | None:
        """What builds this contender again; None before `save`."""
        if self._source is None:
            return None
        about = {"name": self.name, "problem_type": self._problem_type, "encoder": self._encoder}
        return {"kind": "static", "folder": self._source} | about

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> StaticContender:
        """Load the contender that `spec` describes."""
        contender = cls(spec["encoder"], spec["problem_type"], spec["name"])
        contender.load(Path(spec["folder"]))
        return contender

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        # Without a limit: a linear model reads whole documents, and so does the one on TF-IDF.
        return self._vectors.encode(list(texts), max_length=None, use_multiprocessing=False)
