"""DistilBERT: BERT's blocks under other names, without token types and without a pooler."""

from typing import Any

from torch import Tensor, nn

from tersely.backbones.base import Attended, Backbone
from tersely.ragged import Ragged


class DistilBertBackbone(Backbone):
    """DistilBERT."""

    model_types = ("distilbert",)
    blocks_at = "transformer.layer"
    has_segments = False
    tiny_settings = {"intermediate_size": None, "hidden_dim": 48, "type_vocab_size": None}

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row: word and position, normalised; the family has no token types."""
        return self.encoder.embeddings(input_ids[None], position_ids=positions[None])[0]

    def attend_block(self, block: nn.Module, hidden: Tensor, **extras: Any) -> Attended:
        output, scores = block.attention(hidden, attention_mask=None, **extras)
        return block.sa_layer_norm(output + hidden), scores

    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return block.output_layer_norm(block.ffn(hidden) + hidden)

    def projections(self, block: nn.Module) -> tuple[nn.Linear, ...]:
        inner = block.attention
        return inner.q_lin, inner.k_lin, inner.v_lin, inner.out_lin

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the layers of `DistilBertForSequenceClassification` on the first token."""
        pooled = nn.functional.relu(head.pre_classifier(hidden.first()))
        return head.classifier(head.dropout(pooled))
