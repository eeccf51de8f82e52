"""BERT and its kin: RoBERTa, XLM-R, CamemBERT and ELECTRA (and MiniLM)."""

from typing import Any

from torch import Tensor, nn

from tersely.backbones.base import Attended, Backbone
from tersely.ragged import Ragged


class BertBackbone(Backbone):
    """BERT, and MiniLM checkpoints, which are BERT by their configuration."""

    model_types = ("bert",)
    blocks_at = "encoder.layer"

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        return self.encoder.embeddings(
            input_ids=input_ids[None],
            position_ids=positions[None],
            token_type_ids=None if segments is None else segments[None],
        )[0]

    def attend_block(self, block: nn.Module, hidden: Tensor, **extras: Any) -> Attended:
        return block.attention(hidden, None, **extras)

    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return block.feed_forward_chunk(hidden)

    def projections(self, block: nn.Module) -> tuple[nn.Linear, ...]:
        inner = block.attention.self
        return inner.query, inner.key, inner.value, block.attention.output.dense

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run pooler, dropout and classifier of `BertForSequenceClassification`."""
        return head.classifier(head.dropout(self.encoder.pooler(hidden.first()[:, None])))


class RobertaBackbone(BertBackbone):
    """RoBERTa, XLM-R and CamemBERT: positions start after the padding id, and a head of its own."""

    model_types = ("roberta", "xlm-roberta", "camembert")
    has_segments = False
    # The padding id stays 1, since positions begin after it.
    tiny_settings = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}

    @property
    def _first_position(self) -> int:
        return self.encoder.embeddings.padding_idx + 1

    @property
    def longest_document(self) -> int:
        """The most tokens that a document may have: the first positions are never used."""
        return super().longest_document - self._first_position

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row; the first token's position is the padding id plus one."""
        return super().embed(input_ids, positions + self._first_position, segments)

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run a classification head, such as RoBERTa's and ELECTRA's, on the first token."""
        return head.classifier(hidden.first()[:, None])


class ElectraBackbone(BertBackbone):
    """ELECTRA: the embeddings may be narrower than the blocks, and a head of its own."""

    model_types = ("electra",)
    tiny_settings = {"embedding_size": 24}

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row and widen it where the family does."""
        hidden = super().embed(input_ids, positions, segments)
        return self.encoder.embeddings_project(hidden) if self._widens else hidden

    def cost_of_embedding(self) -> int:
        config = self.encoder.config
        return config.embedding_size * config.hidden_size if self._widens else 0

    @property
    def _widens(self) -> bool:
        return self.encoder.config.embedding_size != self.encoder.config.hidden_size

    classify = RobertaBackbone.classify
