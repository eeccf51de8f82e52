"""Static embeddings (model2vec) with logistic regression: one vector a word piece, no attention.

The vectors are distilled from the encoder that the other contenders use, by model2vec's recipe:
each word piece goes through the encoder alone, principal components are kept, and frequent pieces
count less. No other weights are needed, and all contenders know the same pretraining. The recipe is
written out here because model2vec's own code for it asks for transformers before 5.4; what runs is
model2vec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from tersely.bench.contenders import TextContender
from tersely.bench.linear import fit_classifier, scores_of
from tersely.errors import require
from tersely.modeling.loading import load_tokenizer

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
        static = require("model2vec", "bench").StaticModel
        tokenizer = load_tokenizer(self._encoder, {})
        vectors = _distil(self._encoder, tokenizer, self._dimensions)
        self._vectors = static(vectors=vectors, tokenizer=tokenizer.backend_tokenizer)
        self._model = fit_classifier(self._encode(texts), labels, self._problem_type)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Logits `(documents, labels)`."""
        return scores_of(self._model, self._encode(texts))

    def save(self, folder: Path) -> None:
        """Keep what was fitted, for the process that measures memory; by skops, so no pickle."""
        self._vectors.save_pretrained(str(folder / "vectors"))
        require("skops.io", "bench").dump(self._model, folder / "static.skops")
        self._source = str(folder)

    def load(self, folder: Path) -> None:
        """Take what `save` kept in a folder of one's own."""
        static = require("model2vec", "bench").StaticModel
        self._vectors = static.from_pretrained(str(folder / "vectors"))
        self._model = require("skops.io", "bench").load(folder / "static.skops")
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


@torch.inference_mode()
def _distil(encoder: str, tokenizer: Any, dimensions: int, batch: int = 1024) -> np.ndarray:
    """A vector for each word piece, `(pieces, dimensions)` float32."""
    model = AutoModel.from_pretrained(encoder).eval()
    before, after = _specials(tokenizer)
    rows = []
    for start in range(0, len(tokenizer), batch):
        ids = torch.arange(start, min(start + batch, len(tokenizer)))[:, None]
        ends = [
            torch.tensor(part, dtype=torch.long).expand(len(ids), -1) for part in (before, after)
        ]
        hidden = model(input_ids=torch.cat([ends[0], ids, ends[1]], dim=1)).last_hidden_state
        rows.append(hidden.mean(1).float().numpy())
    vectors = np.concatenate(rows)
    pca = require("sklearn.decomposition", "bench").PCA
    vectors = pca(min(dimensions, *vectors.shape), whiten=False).fit_transform(vectors)
    # Vocabularies are sorted by frequency, more or less, which Zipf's law makes a probability.
    shares = 1 / np.arange(2, len(vectors) + 2)
    weights = 1e-4 / (1e-4 + shares / shares.sum())
    return (vectors * weights[:, None]).astype(np.float32)


def _specials(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What stands before and behind a text."""
    bare = tokenizer("", return_attention_mask=False)["input_ids"]
    half = (len(bare) + 1) // 2
    return bare[:half], bare[half:]
