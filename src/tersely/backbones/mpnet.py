"""MPNet: relative positions as one bias of all blocks, and attention that looks nothing up."""

from typing import Any

import torch
from torch import Tensor, nn

from tersely.attention import packed_attention
from tersely.backbones.base import Attended
from tersely.backbones.bert import RobertaBackbone

# From this distance on every pair is in the outermost bucket of the bias.
_REACH = 128


class MPNetBackbone(RobertaBackbone):
    """MPNet, and the sentence encoders made of it (all-mpnet-base-v2, paraphrase-mpnet-base-v2).

    One bias on relative positions, shared by all blocks, is added to the logits: a table by
    distance between original positions, so it stays right when tokens leave. transformers' MPNet
    looks no attention up, so queries, keys and values are made here with its own layers.
    """

    model_types = ("mpnet",)
    tiny_settings = RobertaBackbone.tiny_settings | {"type_vocab_size": None}

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

    def attend_block(self, block: nn.Module, hidden: Tensor, **extras: Any) -> Attended:
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
