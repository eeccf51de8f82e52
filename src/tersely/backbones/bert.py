"""BERT and its kin: RoBERTa, XLM-R, CamemBERT, ELECTRA, DistilBERT and MPNet (and MiniLM)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tersely.attention import packed_attention
from tersely.backbones.base import Backbone
from tersely.ragged import Ragged

# From this distance on every pair is in the outermost bucket of MPNet's bias.
_REACH = 128


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

    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
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
        """Run the classification head of `RobertaForSequenceClassification` on the first token."""
        return head.classifier(hidden.first()[:, None])


class ElectraBackbone(BertBackbone):
    """ELECTRA: the embeddings may be narrower than the blocks, and a head of its own."""

    model_types = ("electra",)

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

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the classification head of `ElectraForSequenceClassification` on the first token."""
        return head.classifier(hidden.first()[:, None])


class DistilBertBackbone(Backbone):
    """DistilBERT: BERT's blocks under other names, without token types and without a pooler."""

    model_types = ("distilbert",)
    blocks_at = "transformer.layer"
    has_segments = False

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row: word and position, normalised; the family has no token types."""
        return self.encoder.embeddings(input_ids[None], position_ids=positions[None])[0]

    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
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


class MPNetBackbone(RobertaBackbone):
    """MPNet, and the sentence encoders made of it (all-mpnet-base-v2, paraphrase-mpnet-base-v2).

    One bias on relative positions, shared by all blocks, is added to the logits: a table by
    distance between original positions, so it stays right when tokens leave. transformers' MPNet
    looks no attention up, so queries, keys and values are made here with its own layers.
    """

    model_types = ("mpnet",)

    def extras(self, hidden: Tensor, positions: Tensor) -> dict[str, Any]:
        """Return the bias of each head by distance, `(heads, 2 · reach + 1)`.

        A key that lies d positions behind its query:

            d        −128  …  −1   0   1   2  …  128
            bucket     15  …   1   0  17  18  …   31
        """
        inner = self.encoder.encoder
        distances = torch.arange(-_REACH, _REACH + 1, device=hidden.device)
        bias = inner.relative_attention_bias(inner.relative_position_bucket(distances))
        return {"relative_bias": bias.t()}

    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
        inner = block.attention.attn
        states = [
            layer(hidden).unflatten(-1, (inner.num_attention_heads, -1)).transpose(1, 2)
            for layer in (inner.q, inner.k, inner.v)
        ]
        dropout = inner.dropout.p if inner.training else 0.0
        context, scores = packed_attention(inner, *states, dropout=dropout, **extras)
        output = block.attention.dropout(inner.o(context.flatten(2)))
        return block.attention.LayerNorm(output + hidden), scores

    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return block.output(block.intermediate(hidden), hidden)

    def projections(self, block: nn.Module) -> tuple[nn.Linear, ...]:
        inner = block.attention.attn
        return inner.q, inner.k, inner.v, inner.o
