"""Controls: a method that does not beat these at the same MACs has not found anything."""

import math

from torch import Tensor

from tersely.reduction import Action, DropTokens, Observed, Plan, Step, register_preset
from tersely.reduction.parts import Budget, number, register, whole
from tersely.reduction.patterns import hashed
from tersely.reduction.scorers import Scorer, to_mean_one
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio


@register("skip")
class Skip(Action):
    """The last of the step's blocks are left out: the encoder with fewer layers, a control."""

    selects = False
    acts = "depth"
    # As many values as there are blocks.
    budget = Budget("keep", lambda blocks: tuple(n / blocks for n in range(1, blocks + 1)))

    keep: float = number(0.5, 0, 1, open_low=True)  # of the blocks; at least one stays

    def kept(self, blocks: int) -> int:
        """Return how many of so many blocks stay."""
        return max(1, math.floor(self.keep * blocks + 0.5))


@register("position")
class Position(Scorer):
    """Earlier tokens are more important: what truncation believes; a control."""

    def score(self, seen: Observed) -> Tensor:
        stream = seen.stream
        left = (stream.lengths[stream.layout.segment_ids] - stream.origins).float()
        return to_mean_one(left[:, None], stream.layout)


@register("random")
class RandomScore(Scorer):
    """Random importance, the same for a place in documents of the same length; a control.

    It is a hash and not a draw, so that a document loses the same tokens in any batch.
    """

    seed: int = whole(0, None)  # another seed, other tokens

    def score(self, seen: Observed) -> Tensor:
        stream = seen.stream
        mixed = stream.origins + 1_000_003 * stream.lengths[stream.layout.segment_ids]
        return to_mean_one(1 + hashed(mixed, self.seed).float()[:, None], stream.layout)


@register_preset("dense")
def dense() -> Plan:
    """Remove nothing: the encoder on packed batches."""
    return Plan("dense")


@register_preset(
    "random", budget=BY_SHARE, examples={"": {"keep": 0.5, "least": 1}}, nothing={"keep": 1.0}
)
def random(keep: float = 0.25, at: int | float = 1 / 3, seed: int = 0, least: int = LEAST) -> Plan:
    """Keep random tokens from one block on; a control."""
    select = Ratio(keep=keep, pin="first", least=least)
    return Plan("random", (Step(DropTokens(), at, RandomScore(seed=seed), select),))


@register_preset(
    "truncate", budget=BY_SHARE, examples={"": {"keep": 0.5, "least": 1}}, nothing={"keep": 1.0}
)
def truncate(keep: float = 0.5, least: int = LEAST) -> Plan:
    """Keep the beginning of each document, from the embedding on; a control."""
    select = Ratio(keep=keep, pin="first", least=least)
    return Plan("truncate", (Step(DropTokens(), "input", Position(), select),))


@register_preset("fewer-layers", budget=Skip.budget, nothing={"keep": 1.0})
def fewer_layers(keep: float = 0.5) -> Plan:
    """Run the first blocks of the encoder only; a control."""
    return Plan("fewer-layers", (Step(Skip(keep=keep), {"start": 0}),))
