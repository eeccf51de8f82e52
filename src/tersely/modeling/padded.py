"""A dense classifier in the form that transformers run: padded rows and an attention mask.

A tersely model packs what it is given, so as the baseline to beat its weights are put back into the
encoder that they came from.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from tersely.backbones import without_pooler
from tersely.errors import ModelError
from tersely.modeling.configuration import TerselyConfig
from tersely.modeling.modeling import TerselyForSequenceClassification, family_head


class PaddedMean(PreTrainedModel):
    """A stock encoder and a linear classifier on the mean of its output tokens, on padded rows."""

    config_class = PreTrainedConfig
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(
        self, config: PreTrainedConfig, encoder: PreTrainedModel, classifier: nn.Linear
    ) -> None:
        super().__init__(config)
        self.encoder = encoder
        self.classifier = classifier

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Compute logits `(documents, labels)` from ids, mask and token types."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
        mask = attention_mask[:, :, None].to(hidden.last_hidden_state.dtype)
        mean = (hidden.last_hidden_state * mask).sum(1) / mask.sum(1)
        return SequenceClassifierOutput(logits=self.classifier(mean))


def dense_checkpoint(model: TerselyForSequenceClassification) -> PreTrainedModel:
    """Turn a dense model with its family's head back into the stock classifier of transformers.

    It is a `BertForSequenceClassification`, say, with copies of the weights and the labels. A plan
    that removes something is refused, and so is a head that is not the family's.
    """
    config, labels = model.config, ("id2label", "label2id", "problem_type")
    encoder_config = _dense_config(config, **{name: getattr(config, name) for name in labels})
    if config.head != "family":
        raise ModelError(
            "a model must have head='family' to become a checkpoint of transformers, got "
            f"head={config.head!r}; train it with head='family'"
        )
    stock = AutoModelForSequenceClassification.from_config(encoder_config)
    stock.base_model.load_state_dict(model.encoder.state_dict())
    family_head(stock).load_state_dict(model.head.state_dict())
    return stock.to(model.dtype).eval()


def padded_model(
    source: str | Path | PreTrainedModel, *, device: str = "cpu", dtype: str = "float32"
) -> PreTrainedModel:
    """Return the padded form of a dense classifier, in evaluation mode.

    Of a model, stock (which is returned as it is) or ours, or of the directory or Hub name of one,
    which is loaded to `device` in `dtype`. A plan that removes tokens is refused.
    """
    if isinstance(source, TerselyForSequenceClassification):
        return _from_tersely(source)
    if isinstance(source, PreTrainedModel):
        return source
    kind = getattr(torch, dtype)
    # Also ours, which transformers know once this package is imported.
    load = AutoModelForSequenceClassification.from_pretrained
    return padded_model(load(source, dtype=kind, use_safetensors=True).to(device).eval())


def _from_tersely(model: TerselyForSequenceClassification) -> PreTrainedModel:
    if model.config.head == "family":
        return dense_checkpoint(model).to(model.device)
    config = _dense_config(model.config)
    config.num_labels = model.num_labels
    encoder = AutoModel.from_config(config, **without_pooler(config))
    encoder.load_state_dict(model.encoder.state_dict())
    padded = PaddedMean(config, encoder, nn.Linear(model.backbone.width, model.num_labels))
    padded.classifier.load_state_dict(model.head.classifier.state_dict())
    return padded.to(device=model.device, dtype=model.dtype).eval()


def _dense_config(config: TerselyConfig, **changes: Any) -> PreTrainedConfig:
    """Copy a dense model's encoder configuration, without the attention that our class wrote."""
    if not config.reduction_plan().is_dense:
        raise ModelError(
            "transformers can run a model only without token reduction, got one with the plan "
            f"{config.plan['name']!r}; give a dense model"
        )
    data = config.encoder_config.to_dict()
    data.pop("num_labels", None)
    return type(config.encoder_config).from_dict(data | changes)
