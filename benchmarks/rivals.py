"""What one would pick instead of a fine-tuned encoder in torch, as contenders of `tersely bench`.

    python benchmarks/compare.py …                                      # names one among the others
    python benchmarks/instead.py …                                      # all of them
    tersely bench … --contenders benchmarks.rivals:StaticVectors        # or by hand

`StaticVectors` and `FrozenEncoder` put scikit-learn's logistic regression on vectors that nobody
fine-tuned; `OpenVino` runs the fine-tuned model as OpenVINO does. None of them needs other weights
than the encoder, so that all contenders know the same pretraining.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from tersely.bench import TextContender
from tersely.bench.stock import StockContender
from tersely.defaults import default_model
from tersely.modeling import padded_model


class _OnVectors(TextContender):
    """Logistic regression on a vector a text; `encoder` may be set on the class beforehand."""

    encoder: str | None = None

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Prepare the vectors' source, and fit on those of the texts."""
        self._load(self.encoder or default_model()[0])
        self._model = LogisticRegression(max_iter=1000, C=10.0).fit(self._vectors(texts), labels)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return logarithms of the probabilities `(documents, labels)`."""
        return self._model.predict_log_proba(self._vectors(texts)).astype(np.float32)

    @abstractmethod
    def _load(self, source: str) -> None:
        """Prepare what makes the vectors, of the encoder in a directory or on the Hub."""

    @abstractmethod
    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts' vectors, `(documents, dimensions)`."""


class StaticVectors(_OnVectors):
    """The mean of static vectors of word pieces.

    They are distilled from the encoder by model2vec's recipe: each word piece goes through the
    encoder alone, principal components are kept, and frequent pieces count less. The recipe is
    written out here because model2vec's own code for it asks for transformers before 5.4; what runs
    is model2vec.
    """

    name = "static"
    about = "static word piece vectors distilled from the encoder (model2vec), logistic regression"

    def _load(self, source: str) -> None:
        from model2vec import StaticModel

        tokenizer = AutoTokenizer.from_pretrained(source)
        vectors = distil(source, tokenizer)
        self._static = StaticModel(vectors=vectors, tokenizer=tokenizer.backend_tokenizer)

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        # Without a limit: a linear model reads whole documents, and so does the one on TF-IDF.
        return self._static.encode(list(texts), max_length=None, use_multiprocessing=False)


class FrozenEncoder(_OnVectors):
    """The encoder as it is, its mean vectors, as sentence-transformers computes them."""

    name = "frozen"
    about = "the encoder without fine-tuning (sentence-transformers), logistic regression"
    max_length = 256

    def _load(self, source: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._sentences = SentenceTransformer(source, device="cpu")
        self._sentences.max_seq_length = self.max_length

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        return self._sentences.encode(list(texts), batch_size=32, show_progress_bar=False)


class OpenVino(StockContender):
    """The fine-tuned dense model in OpenVINO, batches padded and sorted by length.

    `int8` is its own post-training quantisation for transformers, weights and activations,
    calibrated on texts that are given; the hint is for throughput, the threads are torch's.
    """

    def __init__(
        self, model: str | Path, dtype: str, calibration: Sequence[str] = (), **options: Any
    ) -> None:
        import openvino

        super().__init__(model, name=f"openvino-{dtype}", order="sorted", **options)
        ids = torch.arange(4, 20).view(2, 8)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        shape = {name: openvino.PartialShape([-1, -1]) for name in inputs}
        made = openvino.convert_model(padded_model(model), example_input=inputs, input=shape)
        if dtype == "int8":
            import nncf

            self.prepare(calibration)
            batches = [{key: each[key].numpy() for key in inputs} for each in self._batches]
            kind = nncf.ModelType.TRANSFORMER
            made = nncf.quantize(made, nncf.Dataset(batches), model_type=kind)
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 1}
        hints |= {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._compiled = openvino.compile_model(made, "CPU", hints)
        self.about = f"dense, OpenVINO, padded batches sorted by length, {dtype}"

    def _logits(self, inputs: dict[str, torch.Tensor]) -> np.ndarray:
        wanted = {key: inputs[key].numpy() for key in ("input_ids", "attention_mask")}
        return self._compiled(wanted)[0]


@torch.inference_mode()
def distil(source: str, tokenizer: object, dimensions: int = 256, batch: int = 1024) -> np.ndarray:
    """Return a vector for each word piece, `(pieces, dimensions)` float32."""
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
