"""A step of the plan inside a block: what it asks attention for, and how it is carried out."""

from __future__ import annotations

import torch
from torch import Tensor

from laconic.attention import KeySet, Packing, ScoreRequest
from laconic.reduction import Candidates, Observed, Step, Stream

__all__ = ["carry_out", "score_request", "scores_on_row"]


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
    )


def scores_on_row(raw: Tensor, packing: Packing, keys: KeySet | None) -> Tensor:
    """Scores of key places put back on the row and scaled, `(tokens, heads or 1)`.

    They get mean 1 over the keys of the head that has most of them. Keys asked for come as they
    are.
    """
    if packing.scores.kind == "keys":
        return raw
    layout = packing.layout
    if keys is None:
        return raw * layout.lengths[layout.owners][:, None]
    # One factor for all heads of a document: quantiles over all of them compare their scores.
    return keys.scatter(raw, layout.tokens) * keys.layout.lengths[layout.owners][:, None]


def carry_out(step: Step, stream: Stream, seen: Observed) -> tuple[Stream, Tensor | None]:
    """The stream after a step, and the scores `(tokens, heads or 1)` if it chose by any."""
    if not step.act.selects:
        return step.act.apply(stream, None, seen.attention), None
    importance = step.score.score(seen)
    alive = stream.embedded[:, None].expand_as(importance)
    if stream.key_mask is not None:
        alive = alive & stream.key_mask.view(alive.shape[0], -1)
    ends = {"ends": stream.ends, "first": lambda: stream.origins == 0}
    pin = ends.get(step.select.pin, lambda: torch.zeros_like(stream.embedded))
    candidates = Candidates(importance, alive, pin(), stream.layout, stream.lengths)
    losers = step.select.losers(candidates)
    return step.act.apply(stream, losers, importance), importance
