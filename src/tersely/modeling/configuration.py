"""The configuration of a tersely model: encoder, plan, head, long documents, and its cascade."""

import copy
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from tersely.backbones import backbone_class
from tersely.cascade import Cascade
from tersely.errors import ModelError
from tersely.linear import LinearForm
from tersely.reduction import Plan, preset
from tersely.text.encoding import LONG_POLICIES

HEADS = ("mean", "family")


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
        long: what happens to longer documents: `"truncate"`, `"head-tail"`, `"windows"`, or
            `"select"`, which reads the tokens that the linear stage finds most telling, or
            `"select-sentence"`, which reads sentences so.
        window_overlap: tokens that neighbouring windows share, at most half of a window.
        separator_id: the token that ends a text ([SEP]); combination tokens start from it.
        pairs: whether it was trained on pairs of texts; None where that is not known.
        whole_labels: whether the labels' names spell whole numbers, which Python answers with.
        linear: the form of the linear stage that lies beside the encoder; None if there is none.
        cascade: the stages that answer before the model does, as `Cascade.to_dict` gives them.

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
    pairs: bool | None = None
    whole_labels: bool = False
    linear: dict | None = None
    cascade: dict | None = None
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
                "head must be 'mean' for a plan that combines tokens, got 'family', which reads "
                "the [CLS] token that such a plan does not keep"
            )
        chosen = [s.select for s in plan.steps if s.act.acts != "keys" and s.select is not None]
        if self.head == "family" and any(select.pin == "none" for select in chosen):
            raise ModelError(
                "pin must be 'ends' or 'first' for a plan that drops tokens if head is 'family', "
                "got 'none', by which the [CLS] token that this head reads could be dropped"
            )
        self._check_cascade()

    def _check_cascade(self) -> None:
        form = None if self.linear is None else LinearForm.from_dict(self.linear)
        if form is not None and form.classes != self.num_labels:
            told = f"{self.num_labels}, the number of labels, got {form.classes}"
            raise ModelError(f"linear.classes in config.json must be {told}")
        cascade = self.cascade_stages()
        if cascade is None:
            return
        if cascade.needs_linear and form is None:
            raise ModelError("the cascade needs a linear stage, but config.json lacks 'linear'")
        if self.problem_type == "regression" or self.num_labels == 1:
            raise ModelError("a cascade needs classes, and a regression has none; leave it out")
        for stage in cascade.stages:
            if stage.plan is not None:
                stage.plan.resolve(self.encoder_config.num_hidden_layers)

    def cascade_stages(self) -> Cascade | None:
        """Return the cascade as an object; None if there is none."""
        return None if self.cascade is None else Cascade.from_dict(self.cascade)

    def reduction_plan(self) -> Plan:
        """Return the plan as an object."""
        return Plan.from_dict(self.plan)
