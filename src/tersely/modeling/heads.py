"""What stands on top of the encoder: a linear layer on the mean, or the family's own head."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from tersely.attention import NAME
from tersely.backbones import without_pooler
from tersely.modeling.configuration import TerselyConfig
from tersely.ragged import Ragged

__all__ = ["MeanHead", "build_encoder_and_head", "family_head"]


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
        options = without_pooler(encoder_config)
        encoder = AutoModel.from_config(encoder_config, attn_implementation=NAME, **options)
        head = MeanHead(encoder_config.hidden_size, config.num_labels, config.classifier_dropout)
        return encoder, head
    encoder_config.num_labels = config.num_labels
    stock = AutoModelForSequenceClassification.from_config(encoder_config, attn_implementation=NAME)
    return stock.base_model, family_head(stock)


def family_head(stock: PreTrainedModel) -> nn.ModuleDict:
    """The modules of a stock classifier that are not its encoder, under their own names."""
    children = stock.named_children()
    return nn.ModuleDict({name: m for name, m in children if name != stock.base_model_prefix})
