"""The encoder families of transformers, run block by block with their own modules.

Every module of this package is imported here, and its classes register themselves.
"""

import importlib
import pkgutil

from tersely.backbones.base import (
    backbone_class,
    backbone_for,
    linear_cost,
    supported_families,
    without_pooler,
)

__all__ = ["backbone_class", "backbone_for", "linear_cost", "supported_families", "without_pooler"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
