"""The model as transformers know it: its modules, saving and loading, other plans, and the call.

How a packed row goes through the blocks under the plan stands in `tersely.modeling.forward`.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from tersely.attention import NAME
from tersely.backbones import backbone_for, without_pooler
from tersely.cascade import Cascade
from tersely.errors import ModelError, TerselyError, warn
from tersely.linear import LinearForm, LinearStage
from tersely.modeling.cascading import answer_row
from tersely.modeling.configuration import TerselyConfig
from tersely.modeling.forward import ForwardPass, pack_inputs
from tersely.modeling.modules import block_modules, check_modules
from tersely.modeling.trace import Trace, dense_cost
from tersely.ragged import Layout, Ragged
from tersely.reduction import Knowledge, Learned, Plan


@dataclass
class TerselyOutput(SequenceClassifierOutput):
    """Loss, logits `(documents, labels)`, and what was asked for besides."""

    penalty: Tensor | None = None  # what learned parts have added to the loss in training, a scalar
    shorter_logits: tuple[Tensor, ...] | None = None  # of further plans that the batch ran under
    trace: Trace | None = None
    stages: Tensor | None = None  # which stage of a cascade answered, `(documents,)` from 0


class MeanHead(nn.Module):
    """A linear classifier on the mean of the output tokens."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, labels)

    def forward(self, hidden: Ragged, weights: Tensor | None = None) -> Tensor:
        """Compute logits `(documents, labels)`; `weights` `(tokens,)` are those of the mean."""
        return self.classifier(self.dropout(hidden.mean(weights)))


class TerselyForSequenceClassification(PreTrainedModel):
    """A document classifier on packed batches: an encoder, a plan that removes tokens, and a head.

    Takes what transformers' classifiers take (padded `input_ids` with an `attention_mask`), or a
    packed row `(1, tokens)` with `cu_seq_lens_q`, as transformers' flattening collator makes it.
    Make one with `tersely.modeling.from_encoder`.

    Example:
        >>> import torch
        >>> from transformers import BertConfig
        >>> bert = BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2)
        >>> model = TerselyForSequenceClassification(TerselyConfig(encoder_config=bert)).eval()
        >>> model(torch.tensor([[101, 2023, 102]])).logits.shape
        torch.Size([1, 2])
    """

    config_class = TerselyConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    # The loss is a mean over the batch, so the Trainer has to divide it by the accumulated steps.
    accepts_loss_kwargs = False

    def __init__(self, config: TerselyConfig) -> None:
        # What `from_pretrained(attn_implementation=...)` asked for stands in the configuration.
        _pin_attention(config)
        super().__init__(config)
        self.num_labels = config.num_labels
        self.gradient_checkpointing = False
        # Whether the head has yet to learn the labels; what makes a model on an encoder says so.
        self.head_is_new = False
        self.encoder, self.head = _encoder_and_head(config)
        self.plan = config.reduction_plan().resolve(config.encoder_config.num_hidden_layers)
        self.backbone = backbone_for(self.encoder)
        self.knowledge = Knowledge()
        for pattern in self.plan.patterns.values():
            pattern.check_heads(self.backbone.heads)
        self.cascade = config.cascade_stages()
        form = None if config.linear is None else LinearForm.from_dict(config.linear)
        self.register_module("linear", None if form is None else LinearStage(form))
        self.learned = block_modules(self.plan, self.backbone.width, self.backbone.heads)
        # Of all blocks, before some are replaced or left out.
        self.dense_costs = [dense_cost(self.backbone, i) for i in range(self.plan.depth)]
        for block in self.plan.replaced.keys() | self.plan.skipped:
            # It is gone, feed-forward and all; the forward pass never asks for it.
            self.backbone.blocks[block] = nn.Identity()
        self.post_init()
        # transformers has set the weights of the layers that they are made of.
        for module in self.learned.modules():
            if isinstance(module, Learned):
                module.start()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Load a saved tersely model, as in transformers, in float32 unless `dtype` is given.

        Raises:
            ModelError: if weights cannot be read, are of other shapes than the configuration says,
                or are missing, so that they would be random.
        """
        wanted = kwargs.pop("output_loading_info", False)
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        load = super().from_pretrained
        model, info = load_whole(load, pretrained_model_name_or_path, *args, **kwargs)
        return (model, info) if wanted else model

    def under_plan(self, plan: Plan) -> Self:
        """The same weights, not copied, under another plan; this model stays as it is.

        Both may run at the same time, in threads of their own; training one trains the other.

        Raises:
            PlanError: if the plan needs blocks or modules that this model was built without.

        Example:
            >>> from tersely import preset
            >>> from transformers import BertConfig
            >>> bert = BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2)
            >>> model = TerselyForSequenceClassification(TerselyConfig(encoder_config=bert))
            >>> shorter = model.under_plan(preset("topk", keep=0.5, at=0))
            >>> shorter.encoder is model.encoder, model.plan.steps
            (True, {})
        """
        config = copy.copy(self.config)
        config.plan = plan.to_dict()
        config.check()
        resolved = plan.resolve(self.plan.depth)
        check_modules(self, plan, resolved)
        twin = copy.copy(self)
        twin.config, twin.plan = config, resolved
        # Under mixed precision, accelerate hangs a `forward` on the object, bound to the first one.
        own = vars(self).get("forward")
        if isinstance(own, MethodType):
            twin.forward = MethodType(own.__func__, twin)
        return twin

    def alone(self) -> Self:
        """Return the reference of a cascade: the same model, weights not copied, without it."""
        twin = copy.copy(self)
        twin.config, twin.cascade = copy.copy(self.config), None
        twin.config.cascade = None
        return twin

    def beside(self, linear: LinearStage) -> Self:
        """Return the same model, weights not copied, with a linear stage beside its encoder."""
        twin = copy.copy(self)
        twin.config = copy.copy(self.config)
        twin._modules = self._modules | {"linear": linear.to(self.device)}
        twin.config.linear = linear.form.to_dict()
        twin.config.check()
        return twin

    def under_cascade(self, cascade: Cascade, linear: LinearStage | None = None) -> Self:
        """Return the same weights, not copied, with stages that answer before the model does.

        Args:
            cascade: the stages; a ModelError or PlanError says why they don't fit the model.
            linear: the linear stage, where the model has none yet.
        """
        twin = copy.copy(self) if linear is None else self.beside(linear)
        twin.config = copy.copy(twin.config)
        twin.config.cascade = cascade.to_dict()
        twin.config.check()
        twin.cascade = cascade
        for stage in cascade.stages:
            if stage.plan is not None:
                twin.under_plan(stage.plan)  # refuses one that does not fit
        return twin

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        cu_seq_lens_q: Tensor | None = None,
        document_windows: Tensor | Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
        token_targets: Tensor | None = None,
        piece_scores: Tensor | None = None,
        embedded: Tensor | None = None,
        plans: Sequence[Plan] = (),
        output_trace: bool | Literal["sizes"] = False,
        **kwargs: Any,
    ) -> TerselyOutput:
        """Classify documents.

        In evaluation the stages of a cascade answer first, and logits are log-probabilities. In
        training, and where a trace is asked for, the reference runs alone.

        Args:
            input_ids: `(documents, length)` padded, or `(1, tokens)` packed.
            attention_mask: `(documents, length)`, 1 for real tokens; None for all. Not with a
                packed row.
            token_type_ids: like `input_ids`; 1 for the second text of a pair.
            labels: `(documents,)` class numbers, `(documents, labels)` multi-hot, or floats.
            cu_seq_lens_q: `(documents + 1,)`, the boundaries of a packed row.
            document_windows: `(documents,)`, how many neighbouring windows of the row belong to
                each document; their logits are averaged. None for one each.
            lengths: `(documents,)`, tokens of each document of a packed row as plain numbers; None
                to read them from `cu_seq_lens_q`, for which a GPU must wait.
            token_targets: `(1, tokens)` of a packed row, a figure for each token that modules of
                the plan learn from. Not read in evaluation.
            piece_scores: `(1, tokens)` of a packed row, what `choose` by the score `linear` takes
                in the place of the linear stage's table. Not read in evaluation.
            embedded: what the backbone embedded the row to, `(tokens, hidden)`; None to do it.
            plans: to run the batch under these plans in the place of the model's own, all on the
                same weights: loss, logits and trace are of the first, `shorter_logits` of others.
            output_trace: whether the output carries a `Trace`: True for one with alive tokens and
                importances, `"sizes"` for counts and MACs only.
            **kwargs: passed on to the loss function.

        Raises:
            ModelError: for a document without tokens, or longer than the encoder takes.
        """
        _pin_attention(self.encoder.config)
        inputs = pack_inputs(
            input_ids, attention_mask, token_type_ids, cu_seq_lens_q, lengths, self.backbone
        )
        if piece_scores is not None:
            inputs = inputs._replace(piece_scores=piece_scores[0])
        evaluated = not (self.training or plans or output_trace)
        if self.cascade is not None and evaluated:
            windows = [1] * len(inputs.layout) if document_windows is None else document_windows
            answers = answer_row(self, inputs, windows)
            options = {"pooled_logits": answers.logits, "config": self.config, **kwargs}
            loss = None if labels is None else self.loss_function(labels=labels, **options)
            return TerselyOutput(loss, answers.logits, stages=answers.stages)
        first, *shorter = [self.under_plan(plan) for plan in plans] or [self]
        detailed = output_trace is True
        options = {"detailed": detailed, "token_targets": token_targets, "embedded": embedded}
        passed = ForwardPass(first, inputs, **options).run()
        logits, penalty = passed.logits, passed.penalty
        others = [ForwardPass(twin, inputs).run().logits for twin in shorter]
        if document_windows is not None:
            windows = Layout.from_lengths(document_windows, logits.device)
            logits, *others = [Ragged(each, windows).mean() for each in (logits, *others)]
        loss = None
        if labels is not None:
            options = {"pooled_logits": logits, "config": self.config, **kwargs}
            loss = self.loss_function(labels=labels, **options)
            loss = loss if penalty is None else loss + penalty
        return TerselyOutput(
            loss=loss,
            logits=logits,
            penalty=penalty,
            shorter_logits=tuple(others) or None,
            trace=passed.trace if output_trace else None,
        )

    def checkpointed(self, function: Callable[[Tensor], Any], hidden: Tensor) -> Any:
        """Run half a block on a row `(tokens, hidden)`; under gradient checkpointing twice."""
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(function, hidden)
        return function(hidden)


def load_whole(load: Callable[..., Any], source: Any, *args: Any, **options: Any) -> Any:
    """Call a `from_pretrained` of transformers, and refuse what it would do silently.

    Returns the model, and the names of the weights that were left over or missing.
    """
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        model, info = load(source, *args, **options)
    except TerselyError:
        raise  # says what is wrong already
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the weights of {source} cannot be loaded: {reason}") from None
    for key, stored, expected in sorted(info["mismatched_keys"])[:1]:
        raise ModelError(
            f"{key} in {source} must have the shape {tuple(expected)} by its config.json, got "
            f"{tuple(stored)}; take both files from one model, and name in id2label the labels "
            "that it was trained for"
        )
    # A pooler is not part of the encoder's pretraining in every family, and a new head skips it.
    is_encoder = model.base_model is model
    missing = sorted(k for k in info["missing_keys"] if not is_encoder or "pooler." not in k)
    if missing:
        raise ModelError(
            f"{source} lacks {len(missing)} weights of {type(model).__name__}, which would be "
            f"random ({', '.join(missing[:5])}); use a complete checkpoint"
        )
    return model, info


def _pin_attention(config: Any) -> None:
    """Keep the packed attention, whatever was set from outside: others mix documents."""
    if (chosen := config._attn_implementation) == NAME:
        return
    config._attn_implementation = NAME
    if chosen is not None:
        warn(
            f"the attention implementation {chosen!r} is ignored: with any but tersely's own, the "
            "documents of a batch would attend to each other",
            stacklevel=3,
        )


def _encoder_and_head(config: TerselyConfig) -> tuple[PreTrainedModel, nn.Module]:
    encoder_config = config.encoder_config
    if config.head == "mean":
        options = without_pooler(encoder_config)
        encoder = AutoModel.from_config(encoder_config, attn_implementation=NAME, **options)
        head = MeanHead(encoder_config.hidden_size, config.num_labels, config.classifier_dropout)
        return encoder, head
    encoder_config.num_labels = config.num_labels
    stock = AutoModelForSequenceClassification.from_config(encoder_config, attn_implementation=NAME)
    return stock.base_model, family_head(stock)


def family_head(stock: PreTrainedModel) -> nn.ModuleDict:
    """Return the modules of a stock classifier that are not its encoder, under their own names."""
    children = stock.named_children()
    return nn.ModuleDict({name: m for name, m in children if name != stock.base_model_prefix})
