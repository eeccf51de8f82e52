"""What tersely needs to know of an encoder family: how to take one step of it on a packed row.

A backbone owns no weights. It holds a Hugging Face encoder and calls its modules: embed, then for
each block attend and transform, then finish. The loop over the blocks, and what happens between
attend and transform, belong to the model. A new family is one small subclass: see
`docs/adding-a-family.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tersely.attention import NAME, Packing
from tersely.errors import ModelError
from tersely.ragged import Ragged

__all__ = ["Backbone", "Projections", "linear_cost"]


@dataclass(frozen=True)
class Projections:
    """The four projections of a block's attention, as linear layers `(hidden, hidden)`."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear


class Backbone(ABC):
    """One encoder family, block by block, on a packed row.

    Args:
        encoder: the family's base model from transformers.

    Attributes:
        model_types: the `model_type`s of the configurations that this class can walk.
        has_segments: whether the family embeds token types, so that the two texts of a pair differ.
    """

    model_types: ClassVar[tuple[str, ...]]
    has_segments: ClassVar[bool] = True

    def __init__(self, encoder: PreTrainedModel) -> None:
        self.encoder = encoder

    # ---- what a family says --------------------------------------------------------------------

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The encoder's blocks."""

    @abstractmethod
    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row of ids, positions and token types `(tokens,)` to hidden states."""

    @abstractmethod
    def attention_of(self, block: nn.Module) -> nn.Module:
        """The module of a block that runs before tokens may be dropped: attention and output."""

    @abstractmethod
    def feed_forward_of(self, block: nn.Module) -> tuple[nn.Module, ...]:
        """The modules of a block that run after it."""

    @abstractmethod
    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
        """A block up to its feed-forward: `(1, tokens, hidden)` and what attention returned."""

    @abstractmethod
    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        """The feed-forward part of a block, `(1, tokens, hidden)` to the same."""

    @abstractmethod
    def projections(self, block: nn.Module) -> Projections:
        """The four projections of a block's attention."""

    @abstractmethod
    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """The family's own head on the last hidden states, to logits `(documents, labels)`.

        Args:
            head: its modules.
            hidden: the tokens that are left.
            weights: `(tokens,)`, how many tokens each of them stands for in a mean; None for one.
        """

    # ---- what families share -------------------------------------------------------------------

    @property
    def longest_document(self) -> int | None:
        """The most tokens that a document may have, None where positions have no table."""
        return self.encoder.config.max_position_embeddings

    def extras(self, hidden: Tensor, positions: Tensor) -> dict[str, Any]:
        """What all blocks are passed besides the hidden states; made anew when tokens leave."""
        return {}

    def attend(
        self, number: int, hidden: Tensor, packing: Packing, extras: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Block `number` up to its feed-forward, on a packed row.

        Args:
            number: 0-based block.
            hidden: `(tokens, hidden)`.
            packing: the documents, the keys that are left, the scores wanted.
            extras: what `extras` returned for these tokens.

        Returns:
            `(tokens, hidden)`, and the scores `(keys, heads or 1)` where they were asked for.

        Raises:
            ModelError: if the encoder did not call the packed attention.
        """
        calls = packing.calls
        output, scores = self.attend_block(
            self.blocks[number], hidden[None], packing=packing, **extras
        )
        if packing.calls != calls + 1:
            raise ModelError(
                f"{type(self.encoder).__name__} did not call the packed attention in block "
                f"{number}: its attention implementation is "
                f"{self.encoder.config._attn_implementation!r}, expected {NAME!r}"
            )
        return output[0], scores

    def transform(self, number: int, hidden: Tensor) -> Tensor:
        """The feed-forward part of block `number`, `(tokens, hidden)` to the same."""
        return self.transform_block(self.blocks[number], hidden[None])[0]

    def finish(self, hidden: Tensor) -> Tensor:
        """What follows the last block, `(tokens, hidden)` to the same."""
        return hidden

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return self.encoder.config.hidden_size

    @property
    def heads(self) -> int:
        """Attention heads of a block."""
        return self.encoder.config.num_attention_heads

    def cost_of_block(self, number: int) -> tuple[int, int]:
        """MACs a token of the linear layers of block `number`: attention, feed-forward."""
        block = self.blocks[number]
        attention = linear_cost([self.attention_of(block)])
        return attention, linear_cost(self.feed_forward_of(block))

    def cost_of_embedding(self) -> int:
        """MACs a token of the linear layers before the first block."""
        return 0


def linear_cost(modules: Iterable[nn.Module]) -> int:
    """MACs a token of all linear layers inside modules.

    A layer is told by its sizes, not by its class: torch's quantised ones are no `nn.Linear`.
    """
    return sum(
        part.in_features * part.out_features
        for module in modules
        for part in module.modules()
        if hasattr(part, "in_features")
    )


def first_tokens(hidden: Ragged) -> Tensor:
    """The first token of each document as a sequence of one, `(documents, 1, hidden)`."""
    return hidden.first()[:, None]


def slice_linear(fused: nn.Linear, part: int, parts: int) -> nn.Linear:
    """One of the equal parts of a fused projection, as a linear layer that shares no memory."""
    size = fused.out_features // parts
    rows = slice(part * size, (part + 1) * size)
    single = nn.Linear(fused.in_features, size, bias=fused.bias is not None)
    with torch.no_grad():
        single.weight.copy_(fused.weight[rows])
        if fused.bias is not None:
            single.bias.copy_(fused.bias[rows])
    return single
