"""How to walk the encoder families of transformers block by block, with their own modules."""

from laconic.backbones.base import Backbone, Projections, linear_cost
from laconic.backbones.bert import BertBackbone, ElectraBackbone, RobertaBackbone
from laconic.backbones.distilbert import DistilBertBackbone
from laconic.backbones.families import backbone_for, supported_families
from laconic.backbones.modernbert import ModernBertBackbone

__all__ = [
    "Backbone",
    "BertBackbone",
    "DistilBertBackbone",
    "ElectraBackbone",
    "ModernBertBackbone",
    "Projections",
    "RobertaBackbone",
    "backbone_for",
    "linear_cost",
    "supported_families",
]
