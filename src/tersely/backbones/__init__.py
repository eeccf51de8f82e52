"""How to walk the encoder families of transformers block by block, with their own modules."""

from tersely.backbones.base import Backbone, Projections, linear_cost
from tersely.backbones.bert import BertBackbone, ElectraBackbone, RobertaBackbone
from tersely.backbones.distilbert import DistilBertBackbone
from tersely.backbones.families import backbone_for, supported_families
from tersely.backbones.modernbert import ModernBertBackbone

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
