"""The model and its loop: embed, then for each block attend, score, select, act, transform.

The encoder's own modules do the work of each block; the plan says what happens in between. All
documents of a batch lie in one row, and a token that a step removes is gone from it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from laconic.attention import NAME, KeySet, Packing
from laconic.backbones import backbone_for
from laconic.errors import LaconicWarning, ModelError, PlanError
from laconic.model.configuration import LaconicConfig
from laconic.model.heads import build_encoder_and_head
from laconic.model.inputs import PackedInputs, pack_inputs
from laconic.model.learned import Spending, lacking_modules, learned_modules, spread
from laconic.model.steps import Outcome, carry_out, follow_detour, score_request, scores_on_row
from laconic.model.trace import LayerTrace, Prices, Trace, connected_pairs, group_trace, pairs_of
from laconic.ragged import Layout, Ragged
from laconic.reduction import (
    Combiner,
    Knowledge,
    Learned,
    Observed,
    Plan,
    ResolvedPlan,
    Step,
    Stream,
    WordImportance,
    words_of,
)

__all__ = ["LaconicForSequenceClassification", "LaconicOutput"]


@dataclass
class LaconicOutput(SequenceClassifierOutput):
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
        self.knowledge = Knowledge()
        for pattern in self.plan.patterns.values():
            pattern.check_heads(self.backbone.heads)
        self.learned = learned_modules(self.plan, self.backbone.width, self.backbone.heads)
        # Of all blocks, before some are replaced or left out.
        self._dense_prices = [self._prices(layer) for layer in range(self.plan.depth)]
        self.combiner = None
        if self.plan.combining is not None:
            combine = self.plan.combine
            self.combiner = Combiner(self.backbone.width, combine.tokens, combine.temperature)
            # The block is replaced, feed-forward and all; the loop never asks for it.
            self.backbone.blocks[self.plan.combining] = nn.Identity()
        detour = self.plan.detour
        self.words = None
        if detour is not None and detour.step.score.by_word:
            self.words = WordImportance(config.encoder_config.vocab_size)
        for layer in self.plan.skipped:
            self.backbone.blocks[layer] = nn.Identity()
        self.post_init()
        # transformers has set the weights of the layers that they are made of.
        for module in self.learned.modules():
            if isinstance(module, Learned):
                module.start()

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

    def under_plan(self, plan: Plan) -> Self:
        """The same weights, not copied, under another plan; this model stays as it is.

        Both may run at the same time, in threads of their own; training one trains the other.

        Raises:
            PlanError: if the plan needs blocks or modules that this model was built without.

        Example:
            >>> from laconic import preset
            >>> from transformers import BertConfig
            >>> bert = BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2)
            >>> model = LaconicForSequenceClassification(LaconicConfig(encoder_config=bert))
            >>> shorter = model.under_plan(preset("topk", keep=0.5, at=0))
            >>> shorter.encoder is model.encoder, model.plan.steps
            (True, {})
        """
        config = self.config.with_plan(plan)
        resolved = plan.resolve(self.plan.depth)
        self._check_modules(plan, resolved)
        twin = copy.copy(self)
        twin.config, twin.plan = config, resolved
        # Under mixed precision, accelerate hangs a `forward` on the object, bound to the first one.
        own = vars(self).get("forward")
        if isinstance(own, MethodType):
            twin.forward = MethodType(own.__func__, twin)
        return twin

    def _check_modules(self, plan: Plan, resolved: ResolvedPlan) -> None:
        """Refuse a plan for which this model lacks something."""
        mine, wanted = ((p.combining, p.combine) for p in (self.plan, resolved))
        if mine != wanted:
            block, combine = wanted
            needs = "every block" if combine is None else f"{combine.tokens} combination tokens"
            at = "" if combine is None else f" at block {block}"
            raise PlanError(
                f"the plan {plan.name!r} needs {needs}{at}, and this model was built for "
                f"{self.config.plan['name']!r}; train a model under that plan"
            )
        empty = {i for i, b in enumerate(self.backbone.blocks) if isinstance(b, nn.Identity)}
        lacking = sorted(empty - {resolved.combining} - resolved.skipped)
        if lacking:
            raise PlanError(
                f"the plan {plan.name!r} needs block {lacking[0]}, which this model was built "
                f"without ({self.config.plan['name']!r}); train a model under that plan"
            )
        for layer, role in lacking_modules(resolved, self):
            raise PlanError(
                f"the plan {plan.name!r} needs what its {role!r} part learns at block {layer}, and "
                f"this model was built for {self.config.plan['name']!r}; train a model under that "
                "plan"
            )
        if resolved.detour and resolved.detour.step.score.by_word and self.words is None:
            raise PlanError(
                f"the plan {plan.name!r} needs the running importance of words, and this model was "
                f"built for {self.config.plan['name']!r}; make a model for that plan"
            )

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
        saliency: Tensor | None = None,
        output_trace: bool | Literal["sizes"] = False,
        output_final: bool = False,
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
            saliency: `(1, tokens)` of a packed row, how much each token matters to the dense model:
                what a predictor learns from. Not read in evaluation.
            output_trace: whether the output carries a `Trace`: True for one with alive tokens and
                importances, `"sizes"` for counts and multiply-adds only.
            output_final: whether the output carries the tokens that reach the head.
            **kwargs: passed on to the loss function.

        Raises:
            ModelError: for a document without tokens, or longer than the encoder takes.
        """
        self._pin_attention()
        inputs = pack_inputs(
            input_ids, attention_mask, token_type_ids, cu_seq_lens_q, self.backbone
        )
        walked = self.walk(inputs, detailed=output_trace is True, saliency=saliency)
        logits, penalty = walked.logits, walked.penalty
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
            loss = loss if penalty is None else loss + penalty
        return LaconicOutput(
            loss=loss,
            logits=logits,
            penalty=penalty,
            trace=walked.trace if output_trace else None,
            final=walked.final if output_final else None,
        )

    def walk(
        self, inputs: PackedInputs, *, detailed: bool = False, saliency: Tensor | None = None
    ) -> Walked:
        """Take a packed row through all blocks.

        Args:
            inputs: the row, checked already.
            detailed: whether the trace carries alive tokens and importances.
            saliency: see `forward`.
        """
        trace = Trace(documents=len(inputs.layout))
        stream = self._embed(inputs, trace)
        spending = None
        if self.training and self.plan.learns:
            spending = Spending(inputs.layout.lengths, self._dense_prices)
            stream = replace(stream, expected=stream.layout.lengths.float())
            if saliency is not None:
                stream = replace(stream, saliency=spread(saliency[0], stream.embedded))
        trace.entered = Ragged(stream.origins, stream.layout)
        detour = self.plan.detour if self.training else None
        words = None
        if detour is not None and self.words is not None:
            words = self.words(inputs.input_ids, inputs.layout, stream.hidden)
        for layer in range(self.plan.depth):
            if layer in self.plan.skipped:
                continue
            if detour is not None:
                stream = follow_detour(detour, layer, stream, words)
            step = self._combine if layer == self.plan.combining else self._block
            stream = step(layer, stream, trace, detailed, spending)
        stream = replace(stream, hidden=self.backbone.finish(stream.hidden))
        logits = self._classify(Ragged(stream.hidden, stream.layout), stream.weights, trace)
        penalty = None
        if spending is not None:
            penalty = spending.penalty(self.plan, trace.other_multiply_adds)
        return Walked(logits, trace, stream, penalty)

    def _embed(self, inputs: PackedInputs, trace: Trace) -> Stream:
        layout = inputs.layout
        hidden = self.backbone.embed(inputs.input_ids, layout.places, inputs.token_type_ids)
        trace.other_multiply_adds += layout.tokens * self.backbone.cost_of_embedding()
        words = None
        if self.plan.patterns:
            needs = frozenset().union(*(p.needs for p in self.plan.patterns.values()))
            table = self.encoder.get_input_embeddings().weight
            words = words_of(inputs.input_ids, layout, table, self.knowledge, needs)
        if self.combiner is None:
            stream = Stream(hidden, layout, layout.places, lengths=layout.lengths, words=words)
            for step in self.plan.inputs:
                stream = carry_out(step, stream, Observed(stream, hidden)).stream
            return stream
        tokens = self.combiner.tokens
        row = Ragged(hidden, layout).append(tokens)
        origins = Ragged(layout.places, layout).append(
            torch.full((len(tokens),), -1, device=hidden.device)
        )
        words = None if words is None else words.with_combination_tokens(layout, len(tokens))
        return Stream(row.values, row.layout, origins.values, lengths=layout.lengths, words=words)

    def _block(
        self,
        layer: int,
        stream: Stream,
        trace: Trace,
        detailed: bool,
        spending: Spending | None = None,
    ) -> Stream:
        backbone, steps = self.backbone, self.plan.at(layer)
        entered, expected = stream.layout, stream.expected
        keys = None if stream.key_mask is None else KeySet.from_mask(stream.key_mask, entered)
        pattern = self.plan.patterns.get(layer)
        learned = dict(self.learned[str(layer)].items()) if str(layer) in self.learned else {}
        packing = Packing(
            entered,
            keys,
            scores=score_request(steps, stream),
            positions=None if stream.origins is entered.places else stream.origins,
            weights=stream.weights,
            dropout=self.config.attention_dropout,
            connections=pattern and pattern.connect(stream, learned.get("pattern")),
        )
        extras = backbone.extras(stream.hidden, stream.places)

        def attend(hidden: Tensor) -> tuple[Tensor, Tensor | None]:
            # Made anew for every call: a checkpointed block runs twice.
            return backbone.attend(layer, hidden, replace(packing, calls=0), extras)

        before = stream.hidden
        hidden, raw = self._checkpointed(attend, before)
        stream = replace(stream, hidden=hidden, groups=None)
        done = Outcome(stream)
        for step in steps:
            scores = None if raw is None else scores_on_row(raw, packing, keys)
            seen = Observed(stream, before, scores, learning=spending is not None)
            done = carry_out(step, stream, seen, learned)
        stream, importance = done.stream, done.importance
        hidden = self._checkpointed(lambda x: backbone.transform(layer, x), stream.hidden)
        if stream.fading is not None:
            hidden = hidden * stream.fading
        stream = replace(stream, hidden=hidden, fading=None)
        prices = self._prices(layer, packing, steps)
        if spending is not None:
            # The channel of the weights is computed in training alone, so it is not counted.
            bare = self._prices(layer, replace(packing, weights=None), steps)
            pairs = torch.tensor(pairs_of(packing), device=entered.device)
            keys_left = pairs / entered.lengths * (expected / entered.lengths)
            spending.add(bare, expected, keys_left, stream.expected)
            spending.note(done.mask, done.lesson)
            if "pattern" in learned:
                spending.shares.append(pattern.share(learned["pattern"], stream.lengths))
        record = _record(layer, prices, packing, stream)
        if detailed:
            record = replace(
                record,
                alive=Ragged(stream.origins, stream.layout),
                alive_keys=stream.key_mask,
                importance=None if importance is None else Ragged(importance.detach(), entered),
                groups=None if stream.groups is None else Ragged(stream.groups, entered),
                connected=None if pattern is None else connected_pairs(packing),
            )
        trace.layers.append(record)
        return stream

    def _combine(
        self,
        layer: int,
        stream: Stream,
        trace: Trace,
        detailed: bool,
        spending: Spending | None = None,
    ) -> Stream:
        embedded = Ragged(stream.hidden, stream.layout).select(stream.embedded)
        documents, m = len(stream.layout), len(self.combiner.tokens)
        # They stand at the end of each document.
        last = torch.arange(-m, 0, device=stream.hidden.device)
        combination = stream.hidden[stream.layout.offsets[1:, None] + last]
        weights = self._weights(stream)
        combined, groups = self.combiner(embedded.values, embedded.layout, combination, weights)
        layout = stream.layout.of_equal(m)
        origins = torch.full((layout.tokens,), -1, device=stream.hidden.device)
        after = Stream(combined.flatten(0, 1), layout, origins, lengths=stream.lengths)
        if spending is not None:
            fixed = self.combiner.cost(0, documents)
            price = Prices(self.combiner.cost(1, 0), fixed=fixed)
            spending.add(price, stream.expected - m)
            after = replace(after, expected=layout.lengths.float())
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

    def _weights(self, stream: Stream) -> Tensor | None:
        """How much each own token counts in its group's mean, `(tokens,)`; None for all the same.

        What is no key any more has no importance; a little keeps a group of such tokens a mean.
        """
        power = self.plan.combine.weigh
        if not power or stream.importance is None:  # None in the place of the first block
            return None
        return stream.importance[stream.embedded].mean(1).clamp(min=1e-3) ** power

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

    def _prices(
        self, layer: int, packing: Packing | None = None, steps: Sequence[Step] = ()
    ) -> Prices:
        """What a block's multiply-adds are paid for; of the dense model's without a packing."""
        attention, feed_forward = self.backbone.cost_of_block(layer)
        heads, width = self.backbone.heads, self.backbone.width
        if packing is None:
            return Prices(attention, 2 * width, feed_forward)
        # Weights of keys ride on one more channel of each head's products.
        channels = 2 * (width + (0 if packing.weights is None else heads))
        if packing.scores is not None and packing.scores.kind not in ("max", "keys"):
            channels += heads  # a weighted column sum of the attention matrix of each head
        predicting = sum(step.score.cost_of_token(width) for step in steps if step.score)
        acting = sum(step.act.cost(packing.layout.sizes, width // heads) for step in steps)
        if layer in self.plan.patterns:
            embedded = self.encoder.get_input_embeddings().embedding_dim
            acting += self.plan.patterns[layer].work(packing.layout.sizes, embedded)
        return Prices(attention + predicting, channels, feed_forward, acting)

    def _checkpointed(self, function: Any, hidden: Tensor) -> Any:
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(function, hidden)
        return function(hidden)

    def _pin_attention(self) -> None:
        """Keep the packed attention, whatever was set from outside: others mix documents."""
        if self.encoder.config._attn_implementation != NAME:
            _refuse_attention(self.encoder.config._attn_implementation)
            self.encoder.config._attn_implementation = NAME


def _record(layer: int, prices: Prices, packing: Packing, stream: Stream) -> LayerTrace:
    layout, keys, left = packing.layout, packing.key_layout, stream.layout
    pairs = pairs_of(packing)
    cost = prices.total(layout.tokens, sum(pairs), left.tokens)
    return LayerTrace(layer, "block", layout.sizes, keys.sizes, left.sizes, cost, pairs)


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
