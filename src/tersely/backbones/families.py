"""The table of encoder families: which backbone walks which `model_type`."""

from __future__ import annotations

from transformers import PreTrainedModel

from tersely.backbones.base import Backbone
from tersely.backbones.bert import BertBackbone, ElectraBackbone, RobertaBackbone
from tersely.backbones.distilbert import DistilBertBackbone
from tersely.backbones.modernbert import ModernBertBackbone
from tersely.errors import ModelError

__all__ = ["backbone_class", "backbone_for", "supported_families"]

_FAMILIES: tuple[type[Backbone], ...] = (
    BertBackbone,
    RobertaBackbone,
    DistilBertBackbone,
    ElectraBackbone,
    ModernBertBackbone,
)


def supported_families() -> tuple[str, ...]:
    """The `model_type`s that tersely can walk, sorted."""
    return tuple(sorted(name for family in _FAMILIES for name in family.model_types))


def backbone_class(model_type: str) -> type[Backbone]:
    """The backbone of a `model_type`.

    Raises:
        ModelError: if the family is not supported; the message lists those that are.
    """
    for family in _FAMILIES:
        if model_type in family.model_types:
            return family
    raise ModelError(
        f"expected an encoder of a supported family ({', '.join(supported_families())}), got "
        f"{model_type!r}; choose another checkpoint, or add the family: docs/adding-a-family.md"
    )


def backbone_for(encoder: PreTrainedModel) -> Backbone:
    """Wrap an encoder in its family's backbone."""
    return backbone_class(encoder.config.model_type)(encoder)
