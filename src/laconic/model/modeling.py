"""The model and its loop: embed, then for each block attend, score, select, act, transform.

The encoder's own modules do the work of each block; the plan says what happens in between. All
documents of a batch lie in one row, and a token that a step removes is gone from it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from laconic.attention import NAME, KeySet, Packing
from laconic.backbones import backbone_for
from laconic.errors import LaconicWarning, ModelError
from laconic.model.configuration import LaconicConfig
from laconic.model.heads import build_encoder_and_head
from laconic.model.inputs import PackedInputs, pack_inputs
from laconic.model.steps import carry_out, score_request, scores_on_row
from laconic.model.trace import LayerTrace, Trace, attention_cost, group_trace, score_cost
from laconic.ragged import Layout, Ragged
from laconic.reduction import Combiner, Observed, Step, Stream

__all__ = ["LaconicForSequenceClassification", "LaconicOutput"]


@dataclass
class LaconicOutput(SequenceClassifierOutput):
    """Loss, logits `(documents, labels)`, and the trace where `output_trace=True` asked for it."""

    trace: Trace | None = None


class LaconicForSequenceClassification(PreTrainedModel):
    """A document classifier on packed batches: an encoder, a plan that removes tokens, and a head.

    Takes what transformers' classifiers take (padded `input_ids` with an `attention_mask`), or a
    packed row `(1, tokens)` with `cu_seq_lens_q`, as transformers' flattening collator makes it.
    Make one with `LaconicForSequenceClassification.from_encoder`.

    Example:
        >>> import torch
        >>> from transformers import BertConfig
        >>> bert = BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2)
        >>> model = LaconicForSequenceClassification(LaconicConfig(encoder_config=bert)).eval()
        >>> model(torch.tensor([[101, 2023, 102]])).logits.shape
        torch.Size([1, 2])
    """

    config_class = LaconicConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    # The loss is a mean over the batch, so the Trainer has to divide it by the accumulated steps.
    accepts_loss_kwargs = False

    def __init__(self, config: LaconicConfig) -> None:
        # What `from_pretrained(attn_implementation=...)` asked for stands in the configuration.
        if config._attn_implementation not in (None, NAME):
            _refuse_attention(config._attn_implementation)
        config._attn_implementation = NAME
        super().__init__(config)
        self.num_labels = config.num_labels
        self.gradient_checkpointing = False
        # Whether the head has yet to learn the labels; what makes a model on an encoder says so.
        self.head_is_new = False
        self.encoder, self.head = build_encoder_and_head(config)
        self.plan = config.reduction_plan().resolve(config.encoder_config.num_hidden_layers)
        self.backbone = backbone_for(self.encoder)
        self.combiner = None
        if self.plan.combining is not None:
            combine = self.plan.combine
            self.combiner = Combiner(self.backbone.width, combine.tokens, combine.temperature)
            # The block is replaced, feed-forward and all; the loop never asks for it.
            self.backbone.blocks[self.plan.combining] = nn.Identity()
        for layer in self.plan.skipped:
            self.backbone.blocks[layer] = nn.Identity()
        self.post_init()

    @classmethod
    def from_encoder(cls, source: str, **options: Any) -> LaconicForSequenceClassification:
        """Build a model on a pretrained encoder; see `laconic.model.loading.from_encoder`."""
        from laconic.model.loading import from_encoder

        return from_encoder(source, **options)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> LaconicForSequenceClassification:
        """Load a saved laconic model, as in transformers, and refuse one that lacks weights.

        Raises:
            ModelError: if the weights cannot be read, or some are missing: they would be random.
        """
        wanted = kwargs.pop("output_loading_info", False)
        source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        try:
            model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"the weights of {source} cannot be loaded: {reason}") from None
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise ModelError(
                f"{source} lacks {len(missing)} of the model's weights, which would be random "
                f"({', '.join(missing[:5])}); save the model again, or start from its encoder"
            )
        return (model, info) if wanted else model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Combiner):
            nn.init.normal_(module.tokens)

    # ---- the forward pass ----------------------------------------------------------------------

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        cu_seq_lens_q: Tensor | None = None,
        document_windows: Tensor | None = None,
        output_trace: bool | Literal["sizes"] = False,
        **kwargs: Any,
    ) -> LaconicOutput:
        """Classify documents.

        Args:
            input_ids: `(documents, length)` padded, or `(1, tokens)` packed.
            attention_mask: `(documents, length)`, 1 for real tokens; None for all. Not with a
                packed row.
            token_type_ids: like `input_ids`; 1 for the second text of a pair.
            labels: `(documents,)` class numbers, `(documents, labels)` multi-hot, or floats.
            cu_seq_lens_q: `(documents + 1,)`, the boundaries of a packed row.
            document_windows: `(documents,)`, how many neighbouring windows of the row belong to
                each document; their logits are averaged. None for one each.
            output_trace: whether the output carries a `Trace`: True for one with alive tokens and
                importances, `"sizes"` for counts and multiply-adds only.
            **kwargs: passed on to the loss function.

        Raises:
            ModelError: for a document without tokens, or longer than the encoder takes.
        """
        self._pin_attention()
        inputs = pack_inputs(
            input_ids, attention_mask, token_type_ids, cu_seq_lens_q, self.backbone
        )
        logits, trace = self.walk(inputs, detailed=output_trace is True)
        if document_windows is not None:
            logits = Ragged(logits, Layout.from_lengths(document_windows)).mean()
        loss = None
        if labels is not None:
            self.config.problem_type = self.config.problem_type or _guess_problem_type(
                labels, self.num_labels
            )
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, config=self.config, **kwargs
            )
        return LaconicOutput(loss=loss, logits=logits, trace=trace if output_trace else None)

    def walk(self, inputs: PackedInputs, *, detailed: bool = False) -> tuple[Tensor, Trace]:
        """Logits `(windows, labels)` of a packed row, and what it took to get them.

        Args:
            inputs: the row, checked already.
            detailed: whether the trace carries alive tokens and importances.
        """
        trace = Trace(documents=len(inputs.layout))
        stream = self._embed(inputs, trace)
        for layer in range(self.plan.depth):
            if layer in self.plan.skipped:
                continue
            step = self._combine if layer == self.plan.combining else self._block
            stream = step(layer, stream, trace, detailed)
        hidden = Ragged(self.backbone.finish(stream.hidden), stream.layout)
        return self._classify(hidden, stream.weights, trace), trace

    def _embed(self, inputs: PackedInputs, trace: Trace) -> Stream:
        layout = inputs.layout
        hidden = self.backbone.embed(inputs.input_ids, layout.places, inputs.token_type_ids)
        trace.other_multiply_adds += layout.tokens * self.backbone.cost_of_embedding()
        if self.combiner is None:
            stream = Stream(hidden, layout, layout.places, lengths=layout.lengths)
            for step in self.plan.inputs:
                stream = carry_out(step, stream, Observed(stream, hidden))[0]
            return stream
        tokens = self.combiner.tokens
        row = Ragged(hidden, layout).append(tokens)
        origins = Ragged(layout.places, layout).append(
            torch.full((len(tokens),), -1, device=hidden.device)
        )
        return Stream(row.values, row.layout, origins.values, lengths=layout.lengths)

    def _block(self, layer: int, stream: Stream, trace: Trace, detailed: bool) -> Stream:
        backbone, steps = self.backbone, self.plan.at(layer)
        entered = stream.layout
        keys = None if stream.key_mask is None else KeySet.from_mask(stream.key_mask, entered)
        packing = Packing(
            entered,
            keys,
            scores=score_request(steps, stream),
            positions=stream.origins,
            weights=stream.weights,
            dropout=self.config.attention_dropout,
        )
        extras = backbone.extras(stream.hidden, stream.places)

        def attend(hidden: Tensor) -> tuple[Tensor, Tensor | None]:
            # Made anew for every call: a checkpointed block runs twice.
            return backbone.attend(layer, hidden, replace(packing, calls=0), extras)

        before = stream.hidden
        hidden, raw = self._checkpointed(attend, before)
        stream = replace(stream, hidden=hidden, groups=None)
        importance = None
        for step in steps:
            seen = None if raw is None else scores_on_row(raw, packing, keys)
            stream, importance = carry_out(step, stream, Observed(stream, before, seen))
        hidden = self._checkpointed(lambda x: backbone.transform(layer, x), stream.hidden)
        stream = replace(stream, hidden=hidden)
        record = self._record(layer, packing, stream, steps)
        if detailed:
            record = replace(
                record,
                alive=Ragged(stream.origins, stream.layout),
                alive_keys=stream.key_mask,
                importance=None if importance is None else Ragged(importance.detach(), entered),
                groups=None if stream.groups is None else Ragged(stream.groups, entered),
            )
        trace.layers.append(record)
        return stream

    def _combine(self, layer: int, stream: Stream, trace: Trace, detailed: bool) -> Stream:
        embedded = Ragged(stream.hidden, stream.layout).select(stream.embedded)
        documents, m = len(stream.layout), len(self.combiner.tokens)
        # They stand at the end of each document.
        last = torch.arange(-m, 0, device=stream.hidden.device)
        combination = stream.hidden[stream.layout.offsets[1:, None] + last]
        combined, groups = self.combiner(embedded.values, embedded.layout, combination)
        layout = stream.layout.of_equal(m)
        origins = torch.full((layout.tokens,), -1, device=stream.hidden.device)
        after = Stream(combined.flatten(0, 1), layout, origins, lengths=stream.lengths)
        trace.layers.append(
            LayerTrace(
                layer=layer,
                kind="combine",
                queries=stream.layout.sizes,
                keys=[m] * documents,
                transformed=layout.sizes,
                multiply_adds=self.combiner.cost(embedded.layout.tokens, documents),
                alive=Ragged(origins, layout) if detailed else None,
                groups=group_trace(groups, embedded.layout) if detailed else None,
            )
        )
        return after

    def _classify(self, hidden: Ragged, weights: Tensor | None, trace: Trace) -> Tensor:
        if self.config.head == "mean":
            trace.other_multiply_adds += len(hidden) * self.backbone.width * self.num_labels
            return self.head(hidden, weights)
        linears = [part for part in self.head.modules() if isinstance(part, nn.Linear)]
        pooler = getattr(self.encoder, "pooler", None)
        if pooler is not None:
            linears.append(pooler.dense)
        costs = sum(part.in_features * part.out_features for part in linears)
        trace.other_multiply_adds += len(hidden) * costs
        return self.backbone.classify(self.head, hidden)

    def _record(
        self, layer: int, packing: Packing, stream: Stream, steps: list[Step]
    ) -> LayerTrace:
        attention, feed_forward = self.backbone.cost_of_block(layer)
        layout, keys = packing.layout, packing.key_layout
        heads, width = self.backbone.heads, self.backbone.width
        cost = layout.tokens * attention + stream.layout.tokens * feed_forward
        # Weights of keys ride on one more channel of each head's products.
        channels = 2 * (width + (0 if packing.weights is None else heads))
        cost += attention_cost(layout, keys, channels)
        if packing.scores is not None and packing.scores.kind not in ("max", "keys"):
            cost += score_cost(layout, keys, heads)
        cost += sum(step.act.cost(layout.sizes, width // heads) for step in steps)
        return LayerTrace(layer, "block", layout.sizes, keys.sizes, stream.layout.sizes, cost)

    def _checkpointed(self, function: Any, hidden: Tensor) -> Any:
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(function, hidden)
        return function(hidden)

    def _pin_attention(self) -> None:
        """Keep the packed attention, whatever was set from outside: others mix documents."""
        if self.encoder.config._attn_implementation != NAME:
            _refuse_attention(self.encoder.config._attn_implementation)
            self.encoder.config._attn_implementation = NAME


def _refuse_attention(chosen: Any) -> None:
    warnings.warn(
        f"the attention implementation {chosen!r} was set on a laconic model, which keeps its "
        "packed attention: another one would let documents of a batch attend to each other",
        LaconicWarning,
        stacklevel=4,
    )


def _guess_problem_type(labels: Tensor, num_labels: int) -> str:
    if num_labels == 1:
        return "regression"
    whole = labels.dtype in (torch.long, torch.int)
    return "single_label_classification" if whole else "multi_label_classification"
