"""ModernBERT: rotary positions that follow their tokens, and windows over original positions."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tersely.backbones.base import Backbone, Projections, slice_linear
from tersely.ragged import Ragged


class ModernBertBackbone(Backbone):
    """ModernBERT."""

    model_types = ("modernbert",)
    has_segments = False
    tiny_settings = {
        # Blocks 0 and 3 see everything, blocks 1 and 2 a window: both kinds, and one after another.
        "num_hidden_layers": 4,
        "global_attn_every_n_layers": 3,
        "local_attention": 8,
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        "type_vocab_size": None,
    }

    @property
    def blocks(self) -> nn.ModuleList:
        return self.encoder.layers

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row: words only, since positions are rotations of queries and keys."""
        return self.encoder.embeddings(input_ids=input_ids[None])[0]

    def attention_of(self, block: nn.Module) -> nn.Module:
        return block.attn

    def feed_forward_of(self, block: nn.Module) -> tuple[nn.Module, ...]:
        return (block.mlp,)

    def extras(self, hidden: Tensor, positions: Tensor) -> dict[str, Any]:
        """Return the rotations of these tokens for each kind of layer; position 0 is none."""
        kinds = set(self.encoder.config.layer_types)
        rotary = self.encoder.rotary_emb
        return {"rotations": {kind: rotary(hidden[None], positions[None], kind) for kind in kinds}}

    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
        rotation = extras.pop("rotations")[block.attention_type]
        output, scores = block.attn(
            block.attn_norm(hidden), position_embeddings=rotation, attention_mask=None, **extras
        )
        return hidden + output, scores

    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return hidden + block.mlp(block.mlp_norm(hidden))

    def finish(self, hidden: Tensor) -> Tensor:
        return self.encoder.final_norm(hidden)

    def projections(self, block: nn.Module) -> Projections:
        """Return the four projections of a block's attention, the fused one taken apart."""
        query, key, value = (slice_linear(block.attn.Wqkv, part, 3) for part in range(3))
        return Projections(query, key, value, block.attn.Wo)

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the head of `ModernBertForSequenceClassification`, on the first token or the mean."""
        pooling = self.encoder.config.classifier_pooling
        pooled = hidden.first() if pooling == "cls" else hidden.mean(weights)
        return head.classifier(head.drop(head.head(pooled)))
