"""What the model hands its caller, and what a row's walk through the blocks hands the model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from tersely.modeling.trace import Trace
from tersely.reduction import Stream

__all__ = ["TerselyOutput", "Walked"]


@dataclass
class TerselyOutput(SequenceClassifierOutput):
    """Loss, logits `(documents, labels)`, and what was asked for besides.

    Attributes:
        penalty: what learned parts of the plan have added to the loss in training, a scalar.
        trace: where `output_trace` asked for it.
        final: the tokens that reach the head, where `output_final` asked for them.
    """

    penalty: Tensor | None = None
    trace: Trace | None = None
    final: Stream | None = None


@dataclass(frozen=True)
class Walked:
    """What became of a packed row.

    Attributes:
        logits: `(windows, labels)`.
        trace: what it took.
        final: the tokens that reach the head.
        penalty: what learned parts add to the loss in training, a scalar; None for nothing.
    """

    logits: Tensor
    trace: Trace
    final: Stream
    penalty: Tensor | None = None
