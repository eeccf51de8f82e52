"""A step of the plan inside a block: what it asks attention for, and how it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tersely.attention import Packing, ScoreRequest
from tersely.reduction import Candidates, Choice, Learned, Observed, Step, Stream
from tersely.reduction.learned import expected_left
from tersely.reduction.resolved import Detour

__all__ = ["Outcome", "carry_out", "follow_detour", "score_request", "scores_on_row"]


@dataclass(frozen=True)
class Outcome:
    """What a step did.

    Attributes:
        stream: the stream after it.
        importance: the scores it chose by, `(tokens, heads or 1)`, None if by none.
        mask: what its selector has learned of each token that entered, `(tokens, 1)`, or None.
        lesson: what its scorer adds to the loss, a scalar, or None.
    """

    stream: Stream
    importance: Tensor | None = None
    mask: Tensor | None = None
    lesson: Tensor | None = None


def score_request(steps: list[Step], stream: Stream) -> ScoreRequest | None:
    """What a block's step needs from its attention."""
    if not steps:
        return None
    if not steps[0].act.selects:
        kind = steps[0].act.attention
        return None if kind is None else ScoreRequest(kind)
    scorer = steps[0].score
    if scorer.attention is None:
        return None
    counted = None if scorer.count_combination_tokens else stream.embedded
    return ScoreRequest(
        kind=scorer.attention,
        per_head=scorer.per_head,
        counted=counted,
        rows=getattr(scorer, "rows", 32),
        diagonal=getattr(scorer, "diagonal", True),
        values=scorer.values,
        differentiable=scorer.gradients,
    )


def scores_on_row(raw: Tensor, packing: Packing) -> Tensor:
    """Scores of key places put back on the row and scaled, `(tokens, heads or 1)`.

    They get mean 1 over the keys of the head that has most of them. Keys asked for come as they
    are.
    """
    if packing.scores.kind == "keys":
        return raw
    layout, keys = packing.layout, packing.keys
    if keys is None:
        return raw * layout.lengths[layout.segment_ids][:, None]
    # One factor for all heads of a document: quantiles over all of them compare their scores.
    return keys.scatter(raw, layout.tokens) * keys.most[layout.segment_ids][:, None]


def follow_detour(detour: Detour, layer: int, stream: Stream, words: Tensor | None) -> Stream:
    """The stream as it enters a block: without tokens that miss it, with those that are back."""
    if layer == detour.start:
        seen = Observed(stream, stream.hidden, words=words)
        return carry_out(detour.step, stream, seen).stream
    return stream.bring_back() if layer == detour.stop else stream


def carry_out(
    step: Step, stream: Stream, seen: Observed, modules: Mapping[str, Learned] | None = None
) -> Outcome:
    """Carry a step out.

    Args:
        step: the step.
        stream: the tokens after the block's attention.
        seen: what its scorer gets to see.
        modules: what its parts have learned at this block, by role.
    """
    modules = modules or {}
    if not step.act.selects:
        return Outcome(_expect(stream, step.act.apply(stream, None, seen.attention), None))
    seen = replace(seen, module=modules.get("score"))
    importance = step.score.score(seen)
    alive = stream.embedded[:, None].expand_as(importance)
    if stream.key_mask is not None:
        alive = alive & stream.key_mask.view(alive.shape[0], -1)
    ends = {"ends": stream.ends, "first": lambda: stream.origins == 0}
    pin = ends.get(step.select.pin, lambda: torch.zeros_like(stream.embedded))
    candidates = Candidates(
        importance,
        alive,
        pin(),
        stream.layout,
        stream.lengths,
        modules.get("select"),
        seen.learning or step.act.soft,
        stream.expected,
    )
    choice = step.select.choose(candidates)
    softened = stream if choice.mask is None else step.act.soften(stream, choice.mask)
    after = step.act.apply(softened, choice.losers, importance)
    after = _expect(stream, after, choice, step.act.soft)
    lesson = step.score.lesson(seen, importance) if seen.learning else None
    return Outcome(after, importance, choice.mask, lesson)


def _expect(before: Stream, after: Stream, choice: Choice | None, soft: bool = False) -> Stream:
    """The stream after a step, with the tokens that count as left."""
    if before.expected is None:
        return after
    if choice is not None and choice.left is not None:
        return replace(after, expected=choice.left)
    mask = None if choice is None else choice.mask
    expected = expected_left(before.expected, before.layout, after.layout, mask, soft)
    return replace(after, expected=expected)
