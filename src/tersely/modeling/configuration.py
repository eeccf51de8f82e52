"""The configuration of a tersely model: encoder, plan, head, long documents, and how it is run.

`tersely accelerate` finds the token budget, threads and precision on a machine and writes them into
`config.json`, so that whoever loads the model gets what was measured.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from tersely.backbones import backbone_class
from tersely.errors import ModelError, TerselyWarning
from tersely.reduction import Learned, Plan, preset
from tersely.text.encoding import LONG_POLICIES

HEADS = ("mean", "family")
PRECISIONS = ("float32", "bfloat16", "int8")


class TerselyConfig(PreTrainedConfig):
    """Configuration of `TerselyForSequenceClassification`.

    Args:
        encoder_config: configuration of the encoder, or its dictionary.
        plan: the reduction plan as `Plan.to_dict` returns it; None for dense.
        head: `"mean"`, a linear classifier on the mean of the output tokens, or `"family"`, the
            head that transformers gives this family.
        classifier_dropout: dropout before the linear classifier of the `"mean"` head.
        attention_dropout: probability of dropping an attention weight in training; None for the
            encoder's own. 0 by default, as in newer encoders: fused kernels cannot do it on a GPU,
            and on two Skylake cores drawing the noise made a training step of MiniLM-L6 on 6,204
            tokens take 9.6 s instead of 4.3 s (2026-11-22).
        max_length: tokens of a document or of a window, [CLS] and [SEP] included; None for as many
            as the encoder takes.
        long: what happens to longer documents: `"truncate"`, `"head-tail"` or `"windows"`.
        window_overlap: tokens that neighbouring windows share, at most half of a window.
        separator_id: the token that ends a text ([SEP]); combination tokens start from it.
        execution: how to run the model, as `Execution.to_dict` gives it; None for the defaults.

    Raises:
        PlanError: if the plan is wrong or does not fit the encoder.
        ModelError: if the encoder's family is not supported, or another field is wrong.

    Example:
        >>> from transformers import BertConfig
        >>> config = TerselyConfig(encoder_config=BertConfig(num_hidden_layers=2), num_labels=3)
        >>> config.plan["name"], config.num_labels
        ('dense', 3)
    """

    model_type = "tersely"
    # Spelt so for transformers before 5.20, which knows no `sub_configs_defaults`.
    sub_configs = {"encoder_config": AutoConfig}

    encoder_config: dict | PreTrainedConfig | None = None
    plan: dict | None = None
    head: str = "mean"
    classifier_dropout: float = 0.1
    attention_dropout: float | None = 0.0
    max_length: int | None = None
    long: str = "truncate"
    window_overlap: int = 64
    separator_id: int | None = None
    execution: dict | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.encoder_config, dict):
            data = dict(self.encoder_config)
            family = data.pop("model_type", "bert")
            backbone_class(family)  # refuses a family that is not supported
            self.encoder_config = CONFIG_MAPPING[family](**data)
        elif self.encoder_config is None:
            # transformers makes a default of every configuration, to save only what differs.
            self.encoder_config = CONFIG_MAPPING["bert"]()
        else:
            # Two models made from one object would share their attention implementation.
            self.encoder_config = copy.deepcopy(self.encoder_config)
        if self.plan is None:
            self.plan = preset("dense").to_dict()
        if self.pad_token_id is None:
            self.pad_token_id = self.encoder_config.pad_token_id
        super().__post_init__(**kwargs)
        self.check()

    def check(self) -> None:
        """Refuse fields that cannot be, or do not fit each other; for whoever changed some."""
        backbone_class(self.encoder_config.model_type)
        for name, allowed in (("head", HEADS), ("long", LONG_POLICIES)):
            if (got := getattr(self, name)) not in allowed:
                raise ModelError(f"{name} must be one of {', '.join(allowed)}, got {got!r}")
        plan = Plan.from_dict(self.plan)
        plan.resolve(self.encoder_config.num_hidden_layers)
        if self.head == "family" and not plan.keeps_tokens:
            raise ModelError(
                "head must be 'mean' for a plan that combines tokens, since no [CLS] is left for "
                "the family's own head, got 'family'"
            )
        chosen = [s.select for s in plan.steps if s.act.acts != "keys" and s.select is not None]
        if self.head == "family" and any(select.pin == "none" for select in chosen):
            raise ModelError(
                "pin must be 'ends' or 'first' for a plan that drops tokens under the family's "
                "head, which reads [CLS], got 'none'"
            )

    def reduction_plan(self) -> Plan:
        """Return the plan as an object."""
        return Plan.from_dict(self.plan)


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
        sizes = self.batch_tokens >= 16 and (self.threads is None or self.threads >= 1)
        if not sizes or self.precision not in PRECISIONS:
            raise ModelError(
                "an execution has batch_tokens of 16 or more, threads of 1 or more and a "
                f"precision of {', '.join(PRECISIONS)}, got {self}"
            )

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
            from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic
        except ImportError:
            raise ModelError(
                "this torch has no dynamic int8 quantisation; use torch 2.13, or set the precision "
                "in config.json to float32"
            ) from None
        layers = {nn.Linear: default_dynamic_qconfig}
        for name, part in model.named_modules():
            if isinstance(part, Learned) and not part.int8:
                layers |= {f"{name}.{inner}": None for inner, _ in part.named_modules() if inner}
        with warnings.catch_warnings():
            # torch announces a successor, which is slower on CPUs so far (pytorch/ao issue 3157).
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            return quantize_dynamic(model, layers, dtype=torch.qint8)
