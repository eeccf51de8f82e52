"""The model: an encoder of any supported family under a plan, on packed batches."""

# ruff: noqa: F401 - these are the room's public names.
from transformers import AutoConfig, AutoModelForSequenceClassification

from tersely.modeling.configuration import TerselyConfig
from tersely.modeling.loading import from_encoder, with_plan
from tersely.modeling.modeling import TerselyForSequenceClassification, TerselyOutput
from tersely.modeling.padded import dense_checkpoint, padded_model
from tersely.modeling.trace import BlockTrace, Trace

# Here, and not in `tersely/__init__`, which stays light and imports this module when transformers
# first looks for a model's configuration.
AutoConfig.register(TerselyConfig.model_type, TerselyConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    TerselyConfig, TerselyForSequenceClassification, exist_ok=True
)
