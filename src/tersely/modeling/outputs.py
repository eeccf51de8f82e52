"""What the model hands its caller."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from tersely.modeling.trace import Trace
from tersely.reduction import Stream

__all__ = ["TerselyOutput"]


@dataclass
class TerselyOutput(SequenceClassifierOutput):
    """Loss, logits `(documents, labels)`, and what was asked for besides.

    Attributes:
        penalty: what learned parts of the plan have added to the loss in training, a scalar.
        shorter_logits: `(documents, labels)` each, of the further plans that the batch ran under.
        trace: where `output_trace` asked for it.
        final: the tokens that reach the head, where `output_final` asked for them.
    """

    penalty: Tensor | None = None
    shorter_logits: tuple[Tensor, ...] | None = None
    trace: Trace | None = None
    final: Stream | None = None
