"""The model: an encoder of any supported family under a plan, on packed batches."""

from transformers import AutoConfig, AutoModelForSequenceClassification

from tersely.modeling.configuration import TerselyConfig
from tersely.modeling.loading import from_encoder, with_plan
from tersely.modeling.modeling import TerselyForSequenceClassification, TerselyOutput
from tersely.modeling.padded import dense_checkpoint, padded_model
from tersely.modeling.trace import BlockTrace, Trace

__all__ = [
    "TerselyConfig",
    "TerselyForSequenceClassification",
    "TerselyOutput",
    "BlockTrace",
    "Trace",
    "dense_checkpoint",
    "from_encoder",
    "padded_model",
    "with_plan",
]

# Here, and not in `tersely/__init__`, which stays light and imports this module when transformers
# first looks for a model's configuration.
AutoConfig.register(TerselyConfig.model_type, TerselyConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    TerselyConfig, TerselyForSequenceClassification, exist_ok=True
)
