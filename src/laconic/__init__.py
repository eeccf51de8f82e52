"""laconic: document classifiers that read only the tokens that matter.

Importing the package registers its model with transformers, so that
`AutoModelForSequenceClassification` and `pipeline("text-classification")` can load what it saved.
"""

from transformers import AutoConfig, AutoModelForSequenceClassification

from laconic.classifier import Classifier
from laconic.model import LaconicConfig, LaconicForSequenceClassification, Trace
from laconic.ragged import Ragged
from laconic.reduction import Plan, preset, presets
from laconic.training import TrainingSettings

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "LaconicConfig",
    "LaconicForSequenceClassification",
    "Plan",
    "Ragged",
    "Trace",
    "TrainingSettings",
    "__version__",
    "preset",
    "presets",
]

AutoConfig.register(LaconicConfig.model_type, LaconicConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    LaconicConfig, LaconicForSequenceClassification, exist_ok=True
)
