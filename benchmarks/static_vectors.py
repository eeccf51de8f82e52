"""A rival of `tersely bench`: the mean of static vectors of word pieces, logistic regression on it.

    python benchmarks/compare.py …                                      # names it among the others
    tersely bench … --contenders benchmarks.static_vectors:StaticVectors     # or by hand

The vectors are distilled from an encoder by model2vec's recipe: each word piece goes through the
encoder alone, principal components are kept, and frequent pieces count less. No other weights are
needed, so all contenders know the same pretraining. The recipe is written out here because
model2vec's own code for it asks for transformers before 5.4; what runs is model2vec.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from model2vec import StaticModel
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from tersely.bench import TextContender
from tersely.defaults import default_model


class StaticVectors(TextContender):
    """For single labels; `encoder` may be set on the class before it is made."""

    name = "static"
    about = "static word piece vectors distilled from the encoder (model2vec), logistic regression"
    encoder: str | None = None

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Distil the vectors, and fit on the texts' means of them."""
        source = self.encoder or default_model()[0]
        tokenizer = AutoTokenizer.from_pretrained(source)
        vectors = distil(source, tokenizer)
        self._vectors = StaticModel(vectors=vectors, tokenizer=tokenizer.backend_tokenizer)
        self._model = LogisticRegression(max_iter=1000, C=10.0).fit(self._features(texts), labels)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Logarithms of the probabilities `(documents, labels)`."""
        return self._model.predict_log_proba(self._features(texts)).astype(np.float32)

    def _features(self, texts: Sequence[str]) -> np.ndarray:
        # Without a limit: a linear model reads whole documents, and so does the one on TF-IDF.
        return self._vectors.encode(list(texts), max_length=None, use_multiprocessing=False)


@torch.inference_mode()
def distil(source: str, tokenizer: object, dimensions: int = 256, batch: int = 1024) -> np.ndarray:
    """A vector for each word piece, `(pieces, dimensions)` float32."""
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
    vectors = PCA(min(dimensions, *vectors.shape), whiten=False).fit_transform(vectors)
    # Vocabularies are sorted by frequency, more or less, which Zipf's law makes a probability.
    shares = 1 / np.arange(2, len(vectors) + 2)
    weights = 1e-4 / (1e-4 + shares / shares.sum())
    return (vectors * weights[:, None]).astype(np.float32)
