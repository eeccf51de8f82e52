"""What tersely needs to know of an encoder family: how to take one step of it on a packed row.

A backbone owns no weights. It holds a Hugging Face encoder and calls its modules: embed, then for
each block attend and transform, then finish. The loop over the blocks, and what happens between
attend and transform, belong to the model. A new family is one file with one small subclass, which
registers itself: see `docs/adding-a-family.md`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel

from tersely.attention import NAME, Packing
from tersely.errors import ModelError
from tersely.ragged import Ragged

_FAMILIES: dict[str, type[Backbone]] = {}

# Hidden states of 32, four heads, and as few blocks as still show a fault.
_TINY: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    # Larger than usual, so that attention and positions leave a visible mark on the outputs.
    "initializer_range": 0.2,
}


@dataclass(frozen=True)
class Projections:
    """The four projections of a block's attention, as linear layers `(hidden, hidden)`."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear


class Backbone(ABC):
    """One encoder family, block by block, on a packed row; a subclass registers its `model_types`.

    Args:
        encoder: the family's base model from transformers.

    Attributes:
        model_types: the `model_type`s of the configurations that this class can run.
        has_segments: whether the family embeds token types, so that the two texts of a pair differ.
        tiny_settings: settings of a tiny configuration that are not BERT's; None leaves one out.
    """

    model_types: ClassVar[tuple[str, ...]]
    has_segments: ClassVar[bool] = True
    tiny_settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, encoder: PreTrainedModel) -> None:
        self.encoder = encoder

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _FAMILIES.update(dict.fromkeys(cls.__dict__.get("model_types", ()), cls))

    @classmethod
    def tiny(cls, model_type: str | None = None, **overrides: Any) -> PreTrainedConfig:
        """Make the configuration of a tiny encoder of this family, for tests.

        Args:
            model_type: one of `model_types`; None for the first.
            **overrides: settings under BERT's names (`num_hidden_layers`, …) or the family's own.
        """
        settings = _TINY | cls.tiny_settings | overrides
        settings = {name: value for name, value in settings.items() if value is not None}
        return AutoConfig.for_model(model_type or cls.model_types[0], **settings)

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
        """Return the module of a block that runs before tokens may leave: attention and output."""

    @abstractmethod
    def feed_forward_of(self, block: nn.Module) -> tuple[nn.Module, ...]:
        """Return the modules of a block that run after it."""

    @abstractmethod
    def attend_block(
        self, block: nn.Module, hidden: Tensor, **extras: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Run a block up to its feed-forward: `(1, tokens, hidden)` and what attention returned."""

    @abstractmethod
    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        """Run the feed-forward part of a block, `(1, tokens, hidden)` to the same."""

    @abstractmethod
    def projections(self, block: nn.Module) -> Projections:
        """Return the four projections of a block's attention."""

    @abstractmethod
    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the family's own head on the last hidden states, to logits `(documents, labels)`.

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
        """Return what all blocks are passed besides the hidden states, for these tokens."""
        return {}

    def attend(
        self, number: int, hidden: Tensor, packing: Packing, extras: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Run block `number` up to its feed-forward, on a packed row `(tokens, hidden)`.

        `extras` is what the method returned for these tokens. Returns the same, and the scores
        `(keys, heads or 1)` where they were asked for. An encoder that did not call the packed
        attention is refused.
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
        """Run the feed-forward part of block `number`, `(tokens, hidden)` to the same."""
        return self.transform_block(self.blocks[number], hidden[None])[0]

    def finish(self, hidden: Tensor) -> Tensor:
        """Run what follows the last block, `(tokens, hidden)` to the same."""
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
        """Count the MACs a token of the linear layers of a block: attention, feed-forward."""
        block = self.blocks[number]
        attention = linear_cost([self.attention_of(block)])
        return attention, linear_cost(self.feed_forward_of(block))

    def cost_of_embedding(self) -> int:
        """Count the MACs a token of the linear layers before the first block."""
        return 0


def linear_cost(modules: Iterable[nn.Module]) -> int:
    """Count the MACs a token of all linear layers inside modules.

    A layer is told by its sizes, not by its class: torch's quantised ones are no `nn.Linear`.
    """
    return sum(
        part.in_features * part.out_features
        for module in modules
        for part in module.modules()
        if hasattr(part, "in_features")
    )


def first_tokens(hidden: Ragged) -> Tensor:
    """Return the first token of each document as a sequence of one, `(documents, 1, hidden)`."""
    return hidden.first()[:, None]


def slice_linear(fused: nn.Linear, part: int, parts: int) -> nn.Linear:
    """Return an equal part of a fused projection, as a linear layer that shares no memory."""
    size = fused.out_features // parts
    rows = slice(part * size, (part + 1) * size)
    single = nn.Linear(fused.in_features, size, bias=fused.bias is not None)
    with torch.no_grad():
        single.weight.copy_(fused.weight[rows])
        if fused.bias is not None:
            single.bias.copy_(fused.bias[rows])
    return single


# ---- the families ------------------------------------------------------------------------------


def supported_families() -> tuple[str, ...]:
    """Return the `model_type`s that tersely can run, sorted."""
    return tuple(sorted(_FAMILIES))


def backbone_class(model_type: str) -> type[Backbone]:
    """Return the backbone of a `model_type`.

    Raises:
        ModelError: if the family is not supported; the message lists those that are.
    """
    if model_type not in _FAMILIES:
        raise ModelError(
            f"expected an encoder of a supported family ({', '.join(supported_families())}), got "
            f"{model_type!r}; choose another checkpoint, or add the family: docs/adding-a-family.md"
        )
    return _FAMILIES[model_type]


def backbone_for(encoder: PreTrainedModel) -> Backbone:
    """Wrap an encoder in its family's backbone."""
    return backbone_class(encoder.config.model_type)(encoder)


def without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Return the options of a base model that leave its pooler out, where it has one."""
    taken = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in taken else {}
