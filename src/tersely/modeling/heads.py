"""What stands on top of the encoder: a linear layer on the mean, or the family's own head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from tersely.attention import NAME
from tersely.modeling.configuration import TerselyConfig
from tersely.ragged import Ragged

__all__ = ["MeanHead", "build_encoder_and_head", "family_head", "has_pooler"]


class MeanHead(nn.Module):
    """A linear classifier on the mean of the output tokens."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, labels)

    def forward(self, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Logits `(documents, labels)`; `weights` `(tokens,)` are those of the mean."""
        return self.classifier(self.dropout(hidden.mean(weights)))


def build_encoder_and_head(config: TerselyConfig) -> tuple[PreTrainedModel, nn.Module]:
    """The encoder, and either a mean head or the modules of the family's own head."""
    encoder_config = config.encoder_config
    if config.head == "mean":
        pooler = {"add_pooling_layer": False} if has_pooler(encoder_config) else {}
        encoder = AutoModel.from_config(encoder_config, attn_implementation=NAME, **pooler)
        head = MeanHead(encoder_config.hidden_size, config.num_labels, config.classifier_dropout)
        return encoder, head
    encoder_config.num_labels = config.num_labels
    stock = AutoModelForSequenceClassification.from_config(encoder_config, attn_implementation=NAME)
    return stock.base_model, family_head(stock)


def has_pooler(config: Any) -> bool:
    """Whether transformers gives the bare encoder a pooler unless told not to."""
    return config.model_type in ("bert", "roberta", "xlm-roberta", "camembert")


def family_head(stock: PreTrainedModel) -> nn.ModuleDict:
    """The modules of a stock classifier that are not its encoder, under their own names."""
    children = stock.named_children()
    return nn.ModuleDict({name: m for name, m in children if name != stock.base_model_prefix})
