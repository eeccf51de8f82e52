"""What tersely needs to know of an encoder family: how to take one step of it on a packed row.

A backbone owns no weights. It holds a Hugging Face encoder and calls its modules: embed, then for
each block attend and transform, then finish. The loop over the blocks, and what happens between
attend and transform, belong to the model. A new family is one file with one small subclass, which
registers itself: see `docs/adding-a-family.md`.
"""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

from tersely.attention import NAME, Packing
from tersely.errors import ModelError
from tersely.ragged import Ragged

Attended = tuple[Tensor, Tensor | None]
"""Hidden states, and what the packed attention returned: scores `(keys, heads or 1)`, or None."""
_FAMILIES: dict[str, type] = {}


class Backbone(ABC):
    """One encoder family, block by block, on a packed row; a subclass registers its `model_types`.

    Args:
        encoder: the family's base model from transformers.
    """

    model_types: ClassVar[tuple[str, ...]]  # of the configurations that this class can run
    blocks_at: ClassVar[str]  # where the encoder has the list of its blocks
    has_segments: ClassVar[bool] = True  # it embeds token types: the texts of a pair differ
    # Of a tiny configuration, for tests, what is not BERT's; None leaves one of BERT's out.
    tiny_settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, encoder: PreTrainedModel) -> None:
        self.encoder = encoder
        self.blocks: nn.ModuleList = encoder.get_submodule(self.blocks_at)
        self.width: int = encoder.config.hidden_size
        self.heads: int = encoder.config.num_attention_heads

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _FAMILIES.update(dict.fromkeys(cls.__dict__.get("model_types", ()), cls))

    @abstractmethod
    def embed(self, input_ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Embed a row of ids, positions and token types `(tokens,)` to hidden states."""

    @abstractmethod
    def attend_block(self, block: nn.Module, hidden: Tensor, **extras: Any) -> Attended:
        """Run a block up to its feed-forward, on `(1, tokens, hidden)`."""

    @abstractmethod
    def transform_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        """Run the feed-forward part of a block, `(1, tokens, hidden)` to the same."""

    @abstractmethod
    def projections(self, block: nn.Module) -> tuple[nn.Linear, ...]:
        """Return query, key, value and output of a block's attention, each `(hidden, hidden)`."""

    @abstractmethod
    def classify(self, head: nn.Module, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Run the family's own head on the tokens that are left, to logits `(documents, labels)`.

        `weights` `(tokens,)` are how many tokens each stands for in a mean; None for one.
        """

    # What follows is overridden where a family differs.

    def attention_of(self, block: nn.Module) -> nn.Module:
        """Return the module of a block that runs before tokens may leave: attention and output."""
        return block.attention

    @property
    def longest_document(self) -> int | None:
        """The most tokens that a document may have, None where positions have no table."""
        return self.encoder.config.max_position_embeddings

    def extras(self, hidden: Tensor, positions: Tensor) -> dict[str, Any]:
        """Return what all blocks are passed besides the hidden states, for these tokens."""
        return {}

    def attend(
        self, number: int, hidden: Tensor, packing: Packing, extras: dict[str, Any]
    ) -> Attended:
        """Run block `number` up to its feed-forward, `(tokens, hidden)` to the same and the scores.

        An encoder that did not call the packed attention is refused.
        """
        block, calls = self.blocks[number], packing.calls
        output, scores = self.attend_block(block, hidden[None], packing=packing, **extras)
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

    def cost_of_block(self, number: int) -> tuple[int, int]:
        """Count the MACs a token of the linear layers of a block: attention, feed-forward."""
        block = self.blocks[number]
        attention = linear_cost(self.attention_of(block))
        return attention, linear_cost(block) - attention

    def cost_of_embedding(self) -> int:
        """Count the MACs a token of the linear layers before the first block."""
        return 0


def linear_cost(module: nn.Module) -> int:
    """Count the MACs a token of all linear layers inside a module.

    A layer is told by its sizes, not by its class: torch's quantised ones are no `nn.Linear`.
    """
    layers = (part for part in module.modules() if hasattr(part, "in_features"))
    return sum(layer.in_features * layer.out_features for layer in layers)


def supported_families() -> tuple[str, ...]:
    """Return the `model_type`s that tersely can run, sorted."""
    return tuple(sorted(_FAMILIES))


def backbone_class(model_type: str) -> type[Backbone]:
    """Return the backbone of a `model_type`; a ModelError lists those that there are."""
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
