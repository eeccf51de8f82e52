"""ModernBERT: rotary positions that follow their tokens, and windows over original positions."""

from typing import Any

import torch
from torch import Tensor, nn

from tersely.backbones.base import Attended, Backbone
from tersely.ragged import Ragged


class ModernBertBackbone(Backbone):
    """ModernBERT."""

    model_types = ("modernbert",)
    blocks_at = "layers"
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

    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row: words only, since positions are rotations of queries and keys."""
        return self.encoder.embeddings(input_ids=input_ids[None])[0]

    def attention_of(self, block: nn.Module) -> nn.Module:
        return block.attn

    def extras(self, hidden: Tensor, positions: Tensor) -> dict[str, Any]:
        """Return the rotations of these tokens for each kind of layer; position 0 is none."""
        kinds = set(self.encoder.config.layer_types)
        rotary = self.encoder.rotary_emb
        return {"rotations": {kind: rotary(hidden[None], positions[None], kind) for kind in kinds}}

    def attend_block(self, block: nn.Module, hidden: Tensor, **extras: Any) -> Attended:
        rotation = extras.pop("rotations")[block.attention_type]
        output, scores = block.attn(
            block.attn_norm(hidden), position_embeddings=rotation, attention_mask=None, **extras
        )
        return hidden + output, scores

    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return hidden + block.mlp(block.mlp_norm(hidden))

    def finish(self, hidden: Tensor) -> Tensor:
        return self.encoder.final_norm(hidden)

    @torch.no_grad()
    def projections(self, block: nn.Module) -> tuple[nn.Linear, ...]:
        """Return query, key, value and output, the first three copied out of the fused layer."""
        fused, parts = block.attn.Wqkv, []
        for rows in torch.arange(fused.out_features).chunk(3):
            part = nn.Linear(fused.in_features, len(rows), bias=fused.bias is not None)
            part.weight.copy_(fused.weight[rows])
            if fused.bias is not None:
                part.bias.copy_(fused.bias[rows])
            parts.append(part)
        return *parts, block.attn.Wo

    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the head of `ModernBertForSequenceClassification`, on the first token or the mean."""
        pooling = self.encoder.config.classifier_pooling
        pooled = hidden.first() if pooling == "cls" else hidden.mean(weights)
        return head.classifier(head.drop(head.head(pooled)))
