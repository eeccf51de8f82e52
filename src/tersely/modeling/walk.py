"""The model's loop: embed, then for each block attend, score, select, act, transform.

The encoder's own modules do the work of each block; the plan says what happens in between. All
documents of a batch lie in one row, and a token that a step removes is gone from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from tersely.attention import KeySet, Packing
from tersely.modeling.inputs import PackedInputs
from tersely.modeling.learned import Spending, spread
from tersely.modeling.outputs import Walked
from tersely.modeling.pricing import Prices, cost_of_head, prices_of_block
from tersely.modeling.steps import Outcome, carry_out, follow_detour, score_request, scores_on_row
from tersely.modeling.trace import LayerTrace, Trace, group_trace, pairs_of, trace_of_block
from tersely.ragged import Ragged
from tersely.reduction import Learned, Observed, Step, Stream, words_of

__all__ = ["Walk"]


class Walk:
    """One row's way through a model, with the account of what it took.

    Args:
        model: the model, whose modules and plan are read and never changed.
        inputs: the row, checked already.
        detailed: whether the trace carries alive tokens and importances.
        saliency: `(1, tokens)`, how much each token matters to the dense model, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: PackedInputs,
        *,
        detailed: bool = False,
        saliency: Tensor | None = None,
    ) -> None:
        self.model, self.plan, self.backbone = model, model.plan, model.backbone
        self.inputs, self.saliency, self.detailed = inputs, saliency, detailed
        self.trace = Trace(documents=len(inputs.layout))
        self.spending = None
        if model.training and model.plan.learns:
            self.spending = Spending(inputs.layout.lengths, model.dense_prices)

    def run(self) -> Walked:
        """Take the row through all blocks."""
        inputs, plan = self.inputs, self.plan
        stream = self._embed()
        if self.spending is not None:
            stream = replace(stream, expected=stream.layout.lengths.float())
            if self.saliency is not None:
                stream = replace(stream, saliency=spread(self.saliency[0], stream.embedded))
        self.trace.entered = Ragged(stream.origins, stream.layout)
        detour = plan.detour if self.model.training else None
        words = None
        if detour is not None and self.model.words is not None:
            words = self.model.words(inputs.input_ids, inputs.layout, stream.hidden)
        for layer in range(plan.depth):
            if layer in plan.skipped:
                continue
            if detour is not None:
                stream = follow_detour(detour, layer, stream, words)
            step = self._combine if layer == plan.combining else self._block
            stream = step(layer, stream)
        stream = replace(stream, hidden=self.backbone.finish(stream.hidden))
        logits = self._classify(stream)
        penalty = None
        if self.spending is not None:
            penalty = self.spending.penalty(plan, self.trace.other_macs)
        return Walked(logits, self.trace, stream, penalty)

    # ---- before the blocks and after them ------------------------------------------------------

    def _embed(self) -> Stream:
        model, inputs, layout = self.model, self.inputs, self.inputs.layout
        hidden = self.backbone.embed(inputs.input_ids, layout.positions, inputs.token_type_ids)
        self.trace.other_macs += layout.tokens * self.backbone.cost_of_embedding()
        words = None
        if self.plan.patterns:
            needs = frozenset().union(*(p.needs for p in self.plan.patterns.values()))
            table = model.encoder.get_input_embeddings().weight
            words = words_of(inputs.input_ids, layout, table, model.knowledge, needs)
        stream = Stream(hidden, layout, layout.positions, lengths=layout.lengths, words=words)
        for step in self.plan.inputs:
            stream = carry_out(step, stream, Observed(stream, stream.hidden)).stream
        if model.combiner is None:
            return stream
        return stream.with_combination_tokens(model.combiner.tokens)

    def _classify(self, stream: Stream) -> Tensor:
        hidden = Ragged(stream.hidden, stream.layout)
        self.trace.other_macs += len(hidden) * cost_of_head(self.model)
        if self.model.config.head == "mean":
            return self.model.head(hidden, stream.weights)
        return self.backbone.classify(self.model.head, hidden, stream.weights)

    # ---- a block of the encoder ----------------------------------------------------------------

    def _block(self, layer: int, stream: Stream) -> Stream:
        steps = self.plan.at(layer)
        learned = self.model.learned
        modules = dict(learned[str(layer)].items()) if str(layer) in learned else {}
        packing = self._packing(layer, stream, steps, modules)
        hidden, raw = self._attend(layer, stream, packing)
        attended = replace(stream, hidden=hidden, groups=None)
        done = Outcome(attended)
        for step in steps:
            scores = None if raw is None else scores_on_row(raw, packing)
            seen = Observed(attended, stream.hidden, scores, learning=self.spending is not None)
            done = carry_out(step, attended, seen, modules)
        after = self._transform(layer, done.stream)
        prices = self._prices(layer, packing, steps)
        if self.spending is not None:
            self._spend(layer, stream, packing, steps, modules, done)
        record = trace_of_block(
            layer, prices, packing, after, done.importance, detailed=self.detailed
        )
        self.trace.layers.append(record)
        return after

    def _packing(
        self, layer: int, stream: Stream, steps: list[Step], modules: Mapping[str, Learned]
    ) -> Packing:
        """The block's attention call: who is a key, who sees whom, which scores are wanted."""
        layout, pattern = stream.layout, self.plan.patterns.get(layer)
        keys = None
        if stream.key_mask is not None:
            # The kernel for CUDA devices has no masks, and in exported graphs gathering pays off at
            # once: int8, dense took 1.52 times as long as `focus-pfc` with gathered keys, 1.40 with
            # hidden ones (48 documents of 20 Newsgroups, one Skylake core, 2026-11-23).
            here = stream.key_mask.device.type == "cpu" and not layout.symbolic
            hidden = here and stream.key_mask.dim() == 2 and self.plan.hides_keys(layer)
            keys = (KeySet.hidden if hidden else KeySet.from_mask)(stream.key_mask, layout)
        return Packing(
            layout,
            keys,
            scores=score_request(steps, stream),
            positions=None if stream.origins is layout.positions else stream.origins,
            weights=stream.weights,
            dropout=self.model.config.attention_dropout,
            connections=pattern and pattern.connect(stream, modules.get("pattern")),
        )

    def _attend(self, layer: int, stream: Stream, packing: Packing) -> tuple[Tensor, Tensor | None]:
        """Hidden states `(tokens, hidden)` after attention, and the scores asked for."""
        backbone = self.backbone  # not `self`, whose account holds the graph that holds `attend`
        extras = backbone.extras(stream.hidden, stream.positions)

        def attend(hidden: Tensor) -> tuple[Tensor, Tensor | None]:
            # Made anew for every call: a checkpointed block runs twice.
            return backbone.attend(layer, hidden, replace(packing, calls=0), extras)

        return self.model.checkpointed(attend, stream.hidden)

    def _transform(self, layer: int, stream: Stream) -> Stream:
        """The tokens that a step left, after the feed-forward."""
        backbone = self.backbone  # as in `_attend`
        hidden = self.model.checkpointed(lambda x: backbone.transform(layer, x), stream.hidden)
        if stream.fading is not None:
            hidden = hidden * stream.fading
        return replace(stream, hidden=hidden, fading=None)

    def _prices(self, layer: int, packing: Packing, steps: list[Step]) -> Prices:
        pattern = self.plan.patterns.get(layer)
        return prices_of_block(self.backbone, layer, packing, steps, pattern)

    def _spend(
        self,
        layer: int,
        entered: Stream,
        packing: Packing,
        steps: list[Step],
        modules: Mapping[str, Learned],
        done: Outcome,
    ) -> None:
        """Count the block for the penalty, differentiable in what its parts learn."""
        # The channel of the weights is computed in training alone, so it is not counted.
        bare = self._prices(layer, replace(packing, weights=None), steps)
        lengths, expected = entered.layout.lengths, entered.expected
        pairs = torch.tensor(pairs_of(packing), device=entered.layout.device)
        keys_left = pairs / lengths * (expected / lengths)
        self.spending.add(bare, expected, keys_left, done.stream.expected)
        self.spending.note(done.mask, done.lesson)
        if "pattern" in modules:
            share = self.plan.patterns[layer].share(modules["pattern"], entered.lengths)
            self.spending.shares.append(share)

    # ---- the combining module, in the place of a block -----------------------------------------

    def _combine(self, layer: int, stream: Stream) -> Stream:
        combiner = self.model.combiner
        embedded = Ragged(stream.hidden, stream.layout).select(stream.embedded)
        documents, m = len(stream.layout), len(combiner.tokens)
        # They stand at the end of each document.
        last = torch.arange(-m, 0, device=stream.hidden.device)
        combination = stream.hidden[stream.layout.offsets[1:, None] + last]
        combined, groups = combiner(embedded.values, embedded.layout, combination)
        layout = stream.layout.of_equal(m)
        origins = torch.full((layout.tokens,), -1, device=stream.hidden.device)
        after = Stream(combined.flatten(0, 1), layout, origins, lengths=stream.lengths)
        if self.spending is not None:
            price = Prices(combiner.cost(1, 0), fixed=combiner.cost(0, documents))
            self.spending.add(price, stream.expected - m)
            after = replace(after, expected=layout.lengths.float())
        self.trace.layers.append(
            LayerTrace(
                layer=layer,
                kind="combine",
                queries=stream.layout.sizes,
                keys=[m] * documents,
                transformed=layout.sizes,
                macs=combiner.cost(embedded.layout.tokens, documents),
                alive=Ragged(origins, layout) if self.detailed else None,
                groups=group_trace(groups, embedded.layout) if self.detailed else None,
            )
        )
        return after
