"""tersely: document classifiers that read only the tokens that matter.

Importing the package registers its model with transformers, so that
`AutoModelForSequenceClassification` and `pipeline("text-classification")` can load what it saved.
"""

from transformers import AutoConfig, AutoModelForSequenceClassification

from tersely.classifier import Classifier
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification, Trace
from tersely.ragged import Ragged
from tersely.reduction import Plan, preset, presets
from tersely.training import TrainingSettings

__version__ = "0.1.0"

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

AutoConfig.register(TerselyConfig.model_type, TerselyConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    TerselyConfig, TerselyForSequenceClassification, exist_ok=True
)
