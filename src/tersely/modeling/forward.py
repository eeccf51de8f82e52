"""The forward pass: embed, then for each block attend, score, select, act, transform.

The encoder's own modules do the work of each block; the plan says what happens in between. All
documents of a batch lie in one row, and a token that a step removes is gone from it:

    row     a0 a1 a2 a3 | b0 b1 b2
    attend  all of them, each document with itself
    step    a1 and b2 are scored lowest and go
    row     a0 a2 a3 | b0 b1
    transform: the feed-forward of those that are left, and on to the next block
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from tersely.attention import KeySet, Packing, ScoreRequest
from tersely.backbones.base import Backbone
from tersely.errors import ModelError
from tersely.modeling.modules import modules_at
from tersely.modeling.trace import (
    Account,
    BlockTrace,
    Trace,
    cost_of_block,
    cost_of_head,
    trace_of_block,
)
from tersely.ragged import Layout, Ragged
from tersely.reduction import INPUT, Candidates, Learned, Observed, Step, Stream
from tersely.reduction.patterns import token_columns


class PackedInputs(NamedTuple):
    """One row of tokens: ids and token types `(tokens,)`, and the documents' boundaries.

    `piece_scores` `(tokens,)` are what training chooses by in the place of the linear stage's own.
    """

    input_ids: Tensor
    token_type_ids: Tensor | None
    layout: Layout
    piece_scores: Tensor | None = None


def pack_inputs(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    boundaries: Tensor | None,
    lengths: Sequence[int] | None,
    backbone: Backbone,
) -> PackedInputs:
    """Pack a batch as the model's `forward` takes it, or say in a ModelError what is wrong."""
    if input_ids is None:
        raise ModelError("expected input_ids, got none; tersely models read token ids only")
    types = token_type_ids if backbone.has_segments else None
    if boundaries is not None:
        if attention_mask is not None or input_ids.shape[0] != 1:
            raise ModelError(
                "a packed batch must be input_ids of shape (1, tokens) with cu_seq_lens_q and "
                f"without attention_mask, got input_ids of shape {tuple(input_ids.shape)}"
            )
        layout = _layout(boundaries, lengths)
        ids, types = input_ids[0], types if types is None else types[0]
    elif attention_mask is None:
        documents, length = input_ids.shape
        layout = Layout.from_lengths([length] * documents, input_ids.device)
        ids, types = input_ids.flatten(), types if types is None else types.flatten()
    else:
        mask = attention_mask.bool()
        layout = Layout.from_lengths(mask.sum(1))
        ids, types = input_ids[mask], types if types is None else types[mask]
    if layout.tokens != ids.shape[0]:
        raise ModelError(
            f"cu_seq_lens_q must end with {ids.shape[0]}, the number of tokens in input_ids, got "
            f"{layout.tokens}"
        )
    if not layout.sizes or 0 in layout.sizes:
        number = layout.sizes.index(0) if layout.sizes else 0
        raise ModelError(f"every document needs at least one token, but document {number} has none")
    most = backbone.longest_document
    if most is not None and layout.longest > most:
        raise ModelError(
            f"{backbone.encoder.config.model_type} takes documents of at most {most} tokens, got "
            f"one of {layout.longest}; truncate them, or use Classifier with long='windows'"
        )
    return PackedInputs(ids, types, layout)


def _layout(boundaries: Tensor, lengths: Sequence[int] | None) -> Layout:
    if lengths is not None and len(lengths) + 1 != len(boundaries):
        raise ModelError(
            f"lengths must hold a number for each of the {len(boundaries) - 1} documents of "
            f"cu_seq_lens_q, got {len(lengths)}"
        )
    # With lengths beside them nothing is read back, for which a GPU would have to wait.
    if lengths is None and (int(boundaries[0]) != 0 or bool((boundaries.diff() < 0).any())):
        few = f"{boundaries[:8].tolist()}{' …' if len(boundaries) > 8 else ''}"
        raise ModelError(f"cu_seq_lens_q must start with 0 and never decrease, got {few}")
    return Layout(boundaries, lengths)


class ForwardPass:
    """One row's way through a model, with the account of what it took.

    Once it has run, `logits` `(windows, labels)`, `trace` and `penalty` (what learned parts add to
    the loss in training, a scalar) are there. The model is never changed; `detailed`,
    `token_targets` and `embedded` are those of its `forward`.
    """

    logits: Tensor
    penalty: Tensor | None = None

    def __init__(
        self,
        model: nn.Module,
        inputs: PackedInputs,
        *,
        detailed: bool = False,
        token_targets: Tensor | None = None,
        embedded: Tensor | None = None,
    ) -> None:
        self.model, self.plan, self.backbone = model, model.plan, model.backbone
        self.inputs, self.detailed = inputs, detailed
        self.token_targets, self.embedded = token_targets, embedded
        self.trace = Trace()
        self._extras: tuple[Tensor | None, dict[str, Any]] = (None, {})
        learning = model.training and model.plan.learns
        self._account = Account(inputs.layout.lengths, model.dense_costs) if learning else None

    def run(self) -> Self:
        """Take the row through all blocks."""
        plan, stream = self.plan, self._embed()
        self.trace.entered = Ragged(stream.origins, stream.layout)
        for block in range(plan.depth):
            if block in plan.skipped:
                continue
            stream = (self._replaced if block in plan.replaced else self._block)(block, stream)
        hidden = Ragged(self.backbone.finish(stream.hidden), stream.layout)
        weights = stream.weights
        self.trace.other_macs += len(hidden) * cost_of_head(self.model)
        if self.model.config.head == "mean":
            self.logits = self.model.head(hidden, weights)
        else:
            self.logits = self.backbone.classify(self.model.head, hidden, weights)
        if self._account is not None:
            self.penalty = self._account.penalty(plan, self.trace.other_macs)
        return self

    def _embed(self) -> Stream:
        model, inputs, layout = self.model, self.inputs, self.inputs.layout
        hidden = self.embedded
        if hidden is None:
            hidden = self.backbone.embed(inputs.input_ids, layout.positions, inputs.token_type_ids)
        self.trace.other_macs += layout.tokens * self.backbone.cost_of_embedding()
        columns = self._columns()
        stream = Stream(hidden, layout, layout.positions, lengths=layout.lengths, columns=columns)
        if self.plan.inputs:
            stream = self._choose(stream)
        for block in self.plan.replaced:
            stream = modules_at(model.learned, block)["act"].enter(stream)
        if self._account is not None:
            stream = replace(stream, expected=stream.layout.lengths.float())
        return stream

    def _choose(self, stream: Stream) -> Stream:
        model, columns = self.model, stream.columns
        if any(step.score.needs_linear for step in self.plan.inputs) and model.linear is None:
            raise ModelError(
                f"the plan {model.config.plan['name']!r} chooses tokens with a linear stage, but "
                "this model has none; train it with Classifier.fit, which fits one first"
            )
        known = {"input_ids": self.inputs.input_ids}
        if model.training and self.inputs.piece_scores is not None:
            known["piece_scores"] = self.inputs.piece_scores
        stream = replace(stream, columns=columns | known)
        for step in self.plan.inputs:
            cost = step.score.cost_of_token(self.backbone.width)
            self.trace.other_macs += stream.layout.tokens * cost
            seen = Observed(stream, learning=self._account is not None, linear=model.linear)
            learned, read = modules_at(model.learned, INPUT), stream.layout
            stream, importance, _, loss = carry_out(step, stream, seen, learned)
            if self.detailed and self.trace.importance is None:
                self.trace.importance = Ragged(importance.detach(), read)
            if loss is not None:
                self._account.losses.append(loss)
        return replace(stream, columns={name: stream.columns[name] for name in columns})

    def _columns(self) -> dict[str, Tensor]:
        model, inputs, columns = self.model, self.inputs, {}
        if self.plan.patterns:
            needs = frozenset().union(*(p.needs for p in self.plan.patterns.values()))
            table = model.encoder.get_input_embeddings().weight
            columns = token_columns(inputs.input_ids, inputs.layout, table, model.knowledge, needs)
        if model.training and self.token_targets is not None:
            columns["targets"] = self.token_targets[0]
        return columns

    def _block(self, block: int, stream: Stream) -> Stream:
        steps, modules = self.plan.at(block), modules_at(self.model.learned, block)
        packing = self._packing(block, stream, steps, modules)
        hidden, raw = self._attend(block, stream, packing)
        after = attended = replace(stream, hidden=hidden, groups=None)
        importance = mask = loss = None
        for step in steps:
            scores = None if raw is None else _scores_on_row(raw, packing)
            seen = Observed(attended, scores, learning=self._account is not None)
            after, importance, mask, loss = carry_out(step, attended, seen, modules)
        expected = after.expected
        after = self._transform(block, after)
        cost = cost_of_block(self.model, block, packing)
        record = trace_of_block(block, cost, packing, after, importance, self.detailed)
        self.trace.blocks.append(record)
        if self._account is not None:
            # The channel of the weights is computed in training alone, so it is not counted.
            bare = cost_of_block(self.model, block, replace(packing, weights=None))
            self._account.add(bare, stream, record.pairs, expected)
            if mask is not None:
                self._account.masks.append(mask.mean())
            if loss is not None:
                self._account.losses.append(loss)
            if "pattern" in modules:
                pattern = self.plan.patterns[block]
                self._account.shares.append(pattern.share(modules["pattern"], stream.lengths))
        return after

    def _packing(
        self, block: int, stream: Stream, steps: list[Step], modules: Mapping[str, Learned]
    ) -> Packing:
        layout, pattern = stream.layout, self.plan.patterns.get(block)
        keys = request = None
        if steps and steps[0].act.selects:
            request = steps[0].score.request(stream)
        elif steps and steps[0].act.attention is not None:
            request = ScoreRequest(steps[0].act.attention)
        if stream.key_mask is not None:
            # The kernel for CUDA devices has no masks, and in exported graphs gathering pays off at
            # once: int8, dense took 1.52 times as long as `focus-pfc` with gathered keys, 1.40 with
            # hidden ones (48 documents of 20 Newsgroups, one Skylake core, 2026-11-23).
            here = stream.key_mask.device.type == "cpu" and not layout.symbolic
            hidden = here and stream.key_mask.dim() == 2 and self.plan.hides_keys(block)
            keys = (KeySet.hidden if hidden else KeySet.from_mask)(stream.key_mask, layout)
        return Packing(
            layout,
            keys,
            scores=request,
            positions=None if stream.origins is layout.positions else stream.origins,
            weights=stream.weights,
            dropout=self.model.config.attention_dropout,
            connections=pattern and pattern.connect(stream, modules.get("pattern")),
        )

    def _attend(self, block: int, stream: Stream, packing: Packing) -> tuple[Tensor, Tensor | None]:
        backbone = self.backbone  # not `self`, whose account holds the graph that holds `attend`
        known, extras = self._extras
        if known is not stream.origins:  # made anew when tokens leave, and not for every block
            extras = backbone.extras(stream.hidden, stream.positions)
            self._extras = (stream.origins, extras)

        def attend(hidden: Tensor) -> tuple[Tensor, Tensor | None]:
            # Made anew for every call: a checkpointed block runs twice.
            return backbone.attend(block, hidden, replace(packing, calls=0), extras)

        return self.model.checkpointed(attend, stream.hidden)

    def _transform(self, block: int, stream: Stream) -> Stream:
        backbone = self.backbone  # as in `_attend`
        hidden = self.model.checkpointed(lambda x: backbone.transform(block, x), stream.hidden)
        if stream.fading is not None:
            hidden = hidden * stream.fading
        return replace(stream, hidden=hidden, fading=None)

    def _replaced(self, block: int, stream: Stream) -> Stream:
        module = modules_at(self.model.learned, block)["act"]
        after, groups = module.replace_block(stream)
        cost = module.block_cost(len(stream.layout))
        if self._account is not None:
            added = stream.layout.lengths - groups.layout.lengths
            self._account.add(cost, replace(stream, expected=stream.expected - added))
            after = replace(after, expected=after.layout.lengths.float())
        left, macs = after.layout, cost.total(groups.layout.tokens, 0, 0)
        sizes = (stream.layout.sizes, left.sizes, left.sizes)
        record = BlockTrace(block, self.plan.replaced[block].kind, *sizes, macs)
        if self.detailed:
            record = replace(record, alive=Ragged(after.origins, left), groups=groups)
        self.trace.blocks.append(record)
        return after


def carry_out(
    step: Step, stream: Stream, seen: Observed, modules: Mapping[str, Learned] | None = None
) -> tuple[Stream, Tensor | None, Tensor | None, Tensor | None]:
    """Carry a step out, with what its parts have learned at this block, by role.

    Returns the stream after it, the scores it chose by `(tokens, heads or 1)`, its selector's mask
    of the tokens that entered `(tokens, 1)`, and what its scorer adds to the loss, or None each.
    """
    modules = modules or {}
    if not step.act.selects:
        after = step.act.apply(stream, None, seen.attention)
        return _expect(stream, after, None, None), None, None, None
    seen = replace(seen, module=modules.get("score"))
    importance = step.score.score(seen)
    alive = stream.embedded[:, None].expand_as(importance)
    if stream.key_mask is not None:
        alive = alive & stream.key_mask.view(alive.shape[0], -1)
    pinned, learning = _pinned(step.select.pin, stream), seen.learning or step.act.soft
    learned = (modules.get("select"), learning, stream.expected, step.score.units(seen))
    candidates = Candidates(importance, alive, pinned, stream.layout, stream.lengths, *learned)
    choice = step.select.choose(candidates)
    softened = stream if choice.mask is None else step.act.soften(stream, choice.mask)
    after = step.act.apply(softened, choice.losers, importance)
    after = _expect(stream, after, choice.mask, choice.left, step.act.soft)
    loss = step.score.auxiliary_loss(seen, importance) if seen.learning else None
    return after, importance, choice.mask, loss


def _pinned(pin: str, stream: Stream) -> Tensor:
    if pin == "ends":
        return stream.ends()
    return stream.origins == 0 if pin == "first" else torch.zeros_like(stream.embedded)


def _expect(
    before: Stream, after: Stream, mask: Tensor | None, left: Tensor | None, soft: bool = False
) -> Stream:
    """Return the stream with the tokens that count as left; if `soft`, by the mask alone."""
    if before.expected is None:
        return after
    if left is None:
        stayed = after.layout.lengths.to(before.expected.dtype)
        if mask is not None:
            sums = Ragged(mask, before.layout).sum()[:, 0]
            stayed = sums if soft else stayed + (sums - sums.detach())
        left = before.expected * (stayed / before.layout.lengths.clamp(min=1))
    return replace(after, expected=left)


def _scores_on_row(raw: Tensor, packing: Packing) -> Tensor:
    """Put scores of key places back on the row, `(tokens, heads or 1)`; keys come as they are.

    Scores get mean 1 over the keys of the head that has most of them.
    """
    if packing.scores.kind == "keys":
        return raw
    layout, keys = packing.layout, packing.keys
    if keys is None:
        return raw * layout.lengths[layout.segment_ids][:, None]
    # One factor for all heads of a document: quantiles over all of them compare their scores.
    return keys.scatter(raw, layout.tokens) * keys.most[layout.segment_ids][:, None]
