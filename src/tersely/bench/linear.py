"""What an encoder has to be worth its price against: the linear stage alone, from text."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model, save_model

from tersely.bench.contenders import TextContender
from tersely.linear import LinearForm, LinearStage, fit_linear
from tersely.modeling.cascading import linear_log_probabilities
from tersely.modeling.loading import load_tokenizer
from tersely.text import LabelSpace
from tersely.text.encoding import EncodedDocuments, encode


class LinearContender(TextContender):
    """The linear stage of a cascade without an encoder, once it is fitted; it lies in a folder."""

    about = "linear model on word pieces and pairs of them, chosen by cross-validation"

    def __init__(
        self,
        name: str,
        folder: str,
        tokenizer: str,
        max_length: int,
        space: LabelSpace | None = None,
    ) -> None:
        self.name, self._space = name, space
        self._spec = {"folder": folder, "tokenizer": tokenizer, "max_length": max_length}
        self._tokenizer, self._files = load_tokenizer(tokenizer, {}), Path(folder, "linear")
        if self._files.with_suffix(".json").is_file():
            self._load()

    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit on texts with the labels that the label space encodes."""
        encoded = self._encode(texts)
        stage = fit_linear(
            torch.from_numpy(np.concatenate(encoded.windows)),
            torch.from_numpy(np.concatenate([[0], np.cumsum(encoded.sizes)])),
            labels,
            classes=len(self._space.names),
            vocabulary=len(self._tokenizer),
            special_ids=tuple(self._tokenizer.all_special_ids),
            problem_type=self._space.problem_type,
        ).stage
        self._files.with_suffix(".json").write_text(json.dumps(stage.form.to_dict()))
        save_model(stage, str(self._files.with_suffix(".safetensors")))
        self._load()

    def _load(self) -> None:
        form = json.loads(self._files.with_suffix(".json").read_text())
        self._stage = LinearStage(LinearForm.from_dict(form))
        load_model(self._stage, self._files.with_suffix(".safetensors"))

    def _encode(self, texts: Sequence[str]) -> EncodedDocuments:
        return encode(self._tokenizer, list(texts), max_length=self._spec["max_length"])

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return log-probabilities `(documents, labels)`."""
        return linear_log_probabilities(self._stage, self._encode(texts)).numpy()

    def spec(self) -> dict[str, str | int]:
        """Return the name, the folder, and what texts are read with."""
        return {"name": self.name, **self._spec}
