"""Choose what the encoder reads: tokens leave before the first block, by what a linear model knows.

All other methods decide after a block that they have paid for in full. The linear stage beside the
encoder knows before it which pieces speak for a class, at the price of a look-up.
Attribution-Driven Adaptive Token Pruning (NeurIPS 2025) prunes there too, by networks that are
distilled from attributions.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tersely.errors import PlanError
from tersely.methods.controls import Position, RandomScore
from tersely.ragged import Layout
from tersely.reduction import (
    INPUT,
    Candidates,
    DropTokens,
    Learned,
    Observed,
    Plan,
    Scorer,
    Stage,
    Step,
    register,
    register_preset,
)
from tersely.reduction.parts import flag, number, one_of, whole
from tersely.reduction.scorers import divergence, saliency, to_mean_one
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio, keep_count, mark_lowest

_POSSIBLE = 0.05
"""A class is possible for a document if it has this share of the likeliest one's probability."""
_UNIT = 1 << 24
"""Importance is summed in whole numbers of this part of the mean, the same in any company."""
_INNER = 64  # units of the network that tells saliency


@dataclass(frozen=True)
class _Pieces(Scorer):
    """Scores of pieces, by the linear stage beside the encoder unless a class says otherwise.

    Its `pieces` say how much each matters, `(tokens,)`, 0 or more.

    Attributes:
        unit: what is chosen: a `"piece"`; a `"word"`, whose best piece counts and whose pieces stay
            or go together; a piece with its `"neighbours"` on each side; a `"sentence"` by its
            mean, of which the last one is cut where the share ends.
    """

    needs_linear = True

    unit: str = one_of("piece", "word", "neighbours", "sentence", default="piece")

    def score(self, seen: Observed) -> Tensor:
        stream = seen.stream
        scores = self.pieces(seen)
        if self.unit == "neighbours":
            scores = spread_to_neighbours(scores, stream.layout)
        elif self.unit == "word":
            scores = best_of(scores, self._units(seen))
        elif self.unit == "sentence":
            numbers, nothing = self._units(seen), torch.zeros_like(scores)
            totals = (nothing.index_add(0, numbers, each) for each in (scores, nothing + 1))
            scores = torch.div(*(total[numbers] for total in totals))
        return to_mean_one(scores[:, None], stream.layout)

    def units(self, seen: Observed) -> Tensor | None:
        return self._units(seen) if self.unit == "word" else None

    def _units(self, seen: Observed) -> Tensor:
        ids, layout = seen.stream.columns["input_ids"], seen.stream.layout
        return seen.linear.units(ids, layout.positions, self.unit)


@register("linear")
class Linear(_Pieces):
    """How much a piece speaks for some class: a look-up in the linear stage's table.

    The largest deviation of its class weights from their mean, times its IDF: for naive Bayes
    a log-odds.
    """

    def pieces(self, seen: Observed) -> Tensor:
        known, ids = (seen.stream.columns.get(name) for name in ("piece_scores", "input_ids"))
        return seen.linear.token_scores(ids) if known is None else known


@register("linear-margin")
class LinearMargin(_Pieces):
    """What a token adds to the margin between the classes that are possible for its document.

    Pairs of neighbouring pieces count, and a piece that stands often has its share at each place.
    A class is possible if the linear stage gives it a twentieth of the likeliest one's probability;
    the two likeliest are in any case. Of several labels, those that may be there or not.
    """

    def pieces(self, seen: Observed) -> Tensor:
        layout, linear = seen.stream.layout, seen.linear
        added = linear.contributions(seen.stream.columns["input_ids"], layout)
        logs = linear.log_probabilities(layout.sum(added) + linear.bias)
        if linear.form.problem_type == "multi_label_classification":
            doubt = (logs.exp() - 0.5).abs()
            possible = doubt <= doubt.amin(dim=1, keepdim=True).clamp(min=0.5 - _POSSIBLE)
        else:
            best = logs.topk(2, dim=1)
            possible = logs.exp() >= _POSSIBLE * best.values[:, :1].exp()
            possible = possible.scatter(1, best.indices, True)
            first = best.indices[layout.segment_ids, :1]
            added = added - added.gather(1, first)
        return (added.abs() * possible[layout.segment_ids]).amax(dim=1)


@register("idf")
class Idf(_Pieces):
    """How rare a piece is, whatever it says of the classes; a control."""

    def pieces(self, seen: Observed) -> Tensor:
        return seen.linear.idf[seen.stream.columns["input_ids"]]


class SaliencyNetwork(Learned):
    """Linear layer over a token's state and its two neighbours', GELU, linear layer, softplus."""

    learning_rate = 1e-3  # new weights, in few steps

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.output = nn.Linear(3 * width, _INNER), nn.Linear(_INNER, 1)
        self.start()
        self.requires_grad_(False)  # but in the stage of its own: a choice has no gradients

    def start(self) -> None:
        """Set small random weights, which find all tokens alike."""
        for layer in (self.inner, self.output):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Return what saliency is in proportion to, from `(tokens, width)` to `(tokens,)`."""
        before, after = beside(hidden, layout)
        inner = self.inner(torch.cat([before, hidden, after], dim=1))
        return F.softplus(self.output(F.gelu(inner))[:, 0].float())


@register("saliency")
class Saliency(_Pieces):
    """What the dense model's gradients find telling, as a small network learned to tell it.

    The linear stage is asked where words and sentences end, and no more.
    """

    learns = True

    @property
    def needs_linear(self) -> bool:
        return self.unit in ("word", "sentence")

    def module(self, width: int, heads: int) -> SaliencyNetwork:
        return SaliencyNetwork(width)

    def cost_of_token(self, width: int) -> int:
        return (3 * width + 1) * _INNER

    def pieces(self, seen: Observed) -> Tensor:
        stream = seen.stream
        return seen.module(stream.hidden, stream.layout).masked_fill(stream.ends(), 0.0)

    def stages(self, plan: Plan) -> tuple[Stage, ...]:
        return (saliency_stage(plan, Saliency),)

    def auxiliary_loss(self, seen: Observed, importance: Tensor) -> Tensor | None:
        targets = seen.stream.columns.get("targets")
        if targets is None:
            return None
        wanted = targets.masked_fill(seen.stream.ends(), 0.0)
        return divergence(wanted, self.pieces(seen), seen.stream.layout)


def saliency_stage(plan: Plan, kind: type[Scorer]) -> Stage:
    """Return the stage in which scorers of a kind learn from the dense model, dropping nothing."""
    whole = Ratio(keep=1.0)
    steps = [replace(s, select=whole) if isinstance(s.score, kind) else s for s in plan.steps]
    return Stage("saliency", Plan("saliency", steps), learned_only=True, token_targets=saliency)


def best_of(values: Tensor, units: Tensor) -> Tensor:
    """Give each token the best value, of 0 or more, in its unit, both `(tokens,)`."""
    return torch.zeros_like(values).scatter_reduce(0, units, values, "amax")[units]


def spread_to_neighbours(scores: Tensor, layout: Layout) -> Tensor:
    """Give each token the best score of itself and its two neighbours, `(tokens,)` as they came."""
    before, after = beside(scores[:, None], layout)
    return torch.maximum(scores, torch.maximum(before, after)[:, 0])


def beside(values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return what the tokens before and after each have, `(tokens, columns)`, 0 at the ends."""
    joined = (layout.segment_ids[1:] == layout.segment_ids[:-1])[:, None]
    return F.pad(values[:-1] * joined, (0, 0, 1, 0)), F.pad(values[1:] * joined, (0, 0, 0, 1))


@register("chosen-share")
class ChosenShare(Ratio):
    """Keep a share of the tokens, or as many as hold a share of the document's importance.

    Of importance, each document has its own number: few where few words say it all. The word that
    reaches the limit, where words are chosen, is read to its end.

    Attributes:
        keep: the share.
        of: of what, `"tokens"` or `"importance"`.
        most: tokens that a document keeps at most; None for no limit.
        randomised: whether training draws other shares, between `keep` and 1, as for `lat`.
    """

    keep: float = number(0.25, 0, 1, open_low=True)
    of: str = one_of("tokens", "importance", default="tokens")
    most: int | None = whole(None)
    randomised: bool = flag(False)

    def losers(self, candidates: Candidates) -> Tensor:
        counts = candidates.counts
        stay = keep_count(counts, self.keep, self.least)
        if self.of == "importance":
            stay = self._holding(candidates).clamp(min=self.least)
        stay = stay if self.most is None else stay.clamp(max=self.most)
        losers, units = mark_lowest(candidates, counts - stay), candidates.units
        if units is None:
            return losers
        return losers & (best_of((~losers[:, 0]).float(), units) == 0)[:, None]

    def _holding(self, candidates: Candidates) -> Tensor:
        """Count the best tokens that hold the share, pinned ones besides, `(documents, 1)`."""
        free, layout = candidates.free, candidates.layout
        if self.keep == 1:
            return candidates.counts
        scores = candidates.scores.detach().float().masked_fill(~free, 0.0)
        units = (scores[:, 0].double() * _UNIT).round().long()
        places = layout.offsets[layout.segment_ids] + layout.ranks(scores[:, 0])
        ordered = torch.zeros_like(units).index_copy(0, places, units)
        running = torch.cat([units.new_zeros(1), ordered.cumsum(0)])
        starts, ends = running[layout.offsets[:-1]], running[layout.offsets[1:]]
        wanted = starts + ((ends - starts).double() * self.keep).ceil().long()
        # A token stays if those before it do not hold the share yet.
        stays = (running[:-1] < wanted[layout.segment_ids])[:, None]
        return layout.count(stays) + layout.count(candidates.pinned[:, None])


_SCORERS = {
    "linear": Linear,
    "linear-margin": LinearMargin,
    "saliency": Saliency,
    "idf": Idf,
    "first": Position,
    "random": RandomScore,
}


@register_preset(
    "choose",
    budget=BY_SHARE,
    examples={
        "": {"keep": 0.5, "least": 1},
        "importance": {"keep": 0.5, "least": 1, "of": "importance"},
        "at most": {"keep": 0.7, "least": 1, "most": 5},
        "linear-margin": {"keep": 0.5, "least": 1, "score": "linear-margin"},
        "saliency": {"keep": 0.5, "least": 1, "score": "saliency"},
        "idf": {"keep": 0.5, "least": 1, "score": "idf"},
        "first": {"keep": 0.5, "least": 1, "score": "first"},
        "random": {"keep": 0.5, "least": 1, "score": "random"},
        "words": {"keep": 0.5, "least": 1, "unit": "word"},
        "neighbours": {"keep": 0.5, "least": 1, "unit": "neighbours"},
        "sentences": {"keep": 0.5, "least": 1, "unit": "sentence"},
        "random budgets": {"keep": 0.5, "least": 1, "random_budgets": True},
    },
    nothing={"keep": 1.0, "most": 1000},
)
def choose(
    keep: float = 0.25,
    score: str = "linear",
    unit: str = "piece",
    of: str = "tokens",
    most: int | None = None,
    least: int = LEAST,
    random_budgets: bool = False,
) -> Plan:
    """Keep the tokens that a linear model scores highest, before the first block.

    Positions stay those of the whole document, [CLS] and [SEP] stay. `score` is `linear`,
    `linear-margin`, `idf`, `saliency`, or one of the controls `first` (as `truncate`) and `random`,
    which need no linear stage. Training fits the stage first, on the training documents and their
    labels; `linear` then chooses from each by a table that was fitted without its fold. `saliency`
    learns from the dense model, on the same documents; with no epochs it does nothing else. With
    `random_budgets` training draws shares from `keep` to 1, so that one checkpoint serves them all.
    """
    if score not in _SCORERS:
        raise PlanError(f"score must be one of {', '.join(_SCORERS)}, got {score!r}")
    kind = _SCORERS[score]
    if unit != "piece" and not issubclass(kind, _Pieces):
        raise PlanError(f"unit must be 'piece' for the score {score!r}, got {unit!r}")
    scorer = kind(unit=unit) if issubclass(kind, _Pieces) else kind()
    select = ChosenShare(keep=keep, of=of, most=most, least=least, randomised=random_budgets)
    return Plan("choose", (Step(DropTokens(), INPUT, scorer, select),))
