"""How a model is run, kept with it: token budget, threads, precision.

`tersely accelerate` finds these on a machine and writes them into `config.json`, so that whoever
loads the model gets what was measured.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from tersely.errors import ModelError, TerselyWarning
from tersely.reduction import Learned

PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Execution:
    """How to run a model on the CPU.

    Attributes:
        batch_tokens: tokens of a packed batch.
        threads: threads of torch; None for the process's own number.
        precision: `"float32"` for the weights as they are, `"bfloat16"`, or `"int8"`: linear layers
            with int8 weights and inputs quantised as they come (torch's dynamic quantisation). The
            combining module stays in float32: it runs once, and multiplies by a transposed weight,
            for which there is no int8 product.

    """

    batch_tokens: int = 4096
    threads: int | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        good = {
            "batch_tokens": self.batch_tokens >= 16,
            "threads": self.threads is None or self.threads >= 1,
            "precision": self.precision in PRECISIONS,
        }
        for name, fine in good.items():
            if not fine:
                raise ModelError(f"{name} of an execution is wrong, got {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Execution:
        """Read what `to_dict` made; the defaults for None."""
        try:
            return cls(**(data or {}))
        except TypeError as error:
            raise ModelError(
                f"the execution in config.json is not understood ({error}); it was written by "
                "another version of tersely"
            ) from None

    def on(self, device: torch.device) -> Execution:
        """Return the same on another device, where only what is not about the CPU holds."""
        if device.type == "cpu" or (self.threads is None and self.precision == "float32"):
            return self
        warnings.warn(
            f"this model's precision ({self.precision}) and threads ({self.threads}) were found on "
            f"a CPU; on {device} it runs as it was trained",
            TerselyWarning,
            stacklevel=4,
        )
        return Execution(self.batch_tokens)

    def convert(self, model: nn.Module) -> nn.Module:
        """Return the model in this precision: itself for float32, otherwise a copy."""
        if self.precision == "float32":
            return model
        if self.precision == "bfloat16":
            return copy.deepcopy(model).to(torch.bfloat16)
        try:
            from torch.ao.quantization import quantize_dynamic
        except ImportError:
            raise ModelError(
                "this torch has no dynamic int8 quantisation; use torch 2.13, or set the precision "
                "in config.json to float32"
            ) from None
        with warnings.catch_warnings():
            # torch announces a successor, which is slower on CPUs so far (pytorch/ao issue 3157).
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            return quantize_dynamic(model, _int8_layers(model), dtype=torch.qint8)


def _int8_layers(model: nn.Module) -> dict[Any, Any]:
    """Say what becomes of each layer: linear ones int8, but for modules that must not."""
    from torch.ao.quantization import default_dynamic_qconfig

    kept = {
        f"{name}.{inner}": None
        for name, part in model.named_modules()
        if isinstance(part, Learned) and not part.int8
        for inner, _ in part.named_modules()
        if inner
    }
    return {nn.Linear: default_dynamic_qconfig} | kept
