"""The model: an encoder of any supported family, walked by a plan on packed batches."""

from laconic.model.configuration import LaconicConfig
from laconic.model.execution import Execution
from laconic.model.loading import dense_checkpoint, from_encoder, with_plan
from laconic.model.modeling import LaconicForSequenceClassification
from laconic.model.outputs import LaconicOutput
from laconic.model.padded import padded_model
from laconic.model.trace import LayerTrace, Trace

__all__ = [
    "Execution",
    "LaconicConfig",
    "LaconicForSequenceClassification",
    "LaconicOutput",
    "LayerTrace",
    "Trace",
    "dense_checkpoint",
    "from_encoder",
    "padded_model",
    "with_plan",
]
