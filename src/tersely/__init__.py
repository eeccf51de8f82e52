"""tersely: document classifiers that read only the tokens that matter.

Importing the package is cheap: what it offers is loaded when it is first asked for, so that the
command line can print its help, and a program its version, without torch and transformers.

Importing it also makes its models known to transformers, so that `pipeline` loads what it saved:

    import tersely                       a finder waits for transformers' module of `AutoConfig`
    from transformers import AutoModel…  that module is loaded: `AutoConfig.from_pretrained` is
                                         wrapped (nothing else is safe in the middle of its imports)
    AutoModel….from_pretrained(…)        asks `AutoConfig` for the model's type: `tersely.modeling`
                                         is imported, registers its classes, and the wrap comes off
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tersely.classifier import Classifier
    from tersely.modeling import TerselyConfig, TerselyForSequenceClassification, Trace
    from tersely.ragged import Ragged
    from tersely.reduction import Plan, preset, presets
    from tersely.training.settings import TrainingSettings

__version__ = "0.2.0"

__all__ = [
    "Classifier",
    "TerselyConfig",
    "TerselyForSequenceClassification",
    "Plan",
    "Ragged",
    "Trace",
    "TrainingSettings",
    "__version__",
    "preset",
    "presets",
]

# From the bottom to the top, so that a name loads no room above its own.
_ROOMS = ("ragged", "reduction", "training.settings", "modeling", "classifier")


def __getattr__(name: str) -> Any:
    """Load a public name from its room when it is first asked for (PEP 562)."""
    for room in _ROOMS if name in __all__ else ():
        module = importlib.import_module(f"tersely.{room}")
        if name in vars(module):
            globals()[name] = getattr(module, name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# ---- transformers' auto classes --------------------------------------------------------------

_AUTO = "transformers.models.auto.configuration_auto"


def _register_on_use(auto_config: type) -> None:
    """Let the first `AutoConfig.from_pretrained` import our model, which registers itself."""
    original = auto_config.__dict__["from_pretrained"]

    @functools.wraps(original.__func__)
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        auto_config.from_pretrained = original
        importlib.import_module("tersely.modeling")
        return auto_config.from_pretrained(*args, **kwargs)

    auto_config.from_pretrained = classmethod(from_pretrained)


class _AutoConfigFinder:
    """Sees transformers' module of `AutoConfig` being imported, once, and acts when it is there."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the module as Python would, and run `_register_on_use` after its own code."""
        if name != _AUTO:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            _register_on_use(module.AutoConfig)

        spec.loader.exec_module = exec_module
        return spec


if _AUTO in sys.modules:
    _register_on_use(sys.modules[_AUTO].AutoConfig)
else:
    sys.meta_path.insert(0, _AutoConfigFinder)
