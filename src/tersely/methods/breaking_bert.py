"""Breaking BERT (S. Brahma et al., arXiv 2210.03841): how far each block or head looks.

What is published of it to us is its abstract: that the degree of connectivity of the neighbour
pattern is learned by a method inspired by LDPC codes while optimising for sparsity. What is here is
our own reconstruction from that sentence, and not the paper's algorithm. The patterns themselves
are in `tersely.methods.patterns`.
"""

import bisect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tersely.attention import Connections
from tersely.methods.patterns import Neighbours
from tersely.reduction import Pattern, Plan, Stage, Step, Stream, register_preset
from tersely.reduction.parts import Learned, Spent, number, one_of, register, whole

# The smallest weight of a connection that is there at all: its logarithm is −20.7.
_LEAST = 1e-9

# Where a distribution starts: by its logit the largest degree is so far above each of the others.
_START = 6.0


class Degrees(Learned):
    """A distribution over degrees, as LDPC codes are designed by those of their nodes; ours.

    A connection at a distance r has the weight P(degree ≥ r), which falls with r: what is connected
    is a neighbourhood always. Degrees lie on a grid that widens with their size, 0, 1, 2, 3, 4, 6,
    8, 11, …, up to `most`, so that far ones need few figures; there is one distribution, or one for
    each of the heads.
    """

    # A soft stage may be as short as some dozen steps.
    learning_rate = 0.3

    def __init__(self, most: int, heads: int) -> None:
        super().__init__()
        grid = sorted({0, most, *(round(2 ** (step / 2)) for step in range(64))})
        self.grid = [degree for degree in grid if degree <= most]
        self.logits = nn.Parameter(torch.empty(heads, len(self.grid)))
        # The length that a width is frozen for, a running mean; 0 before any training.
        self.register_buffer("length", torch.empty(()))
        self.start()

    def start(self) -> None:
        """Start with nearly everybody within the largest degree connected."""
        nn.init.zeros_(self.length)
        nn.init.zeros_(self.logits)
        nn.init.constant_(self.logits[:, -1], _START)

    def tails(self) -> Tensor:
        """Return the weight at each distance, `(heads or 1, most + 2)`, the last of all beyond."""
        shares = self.logits.softmax(1)
        at_least = shares.flip(1).cumsum(1).flip(1)  # P(degree ≥ the grid's)
        # The first degree of the grid that reaches so far; none beyond the last.
        first = [bisect.bisect_left(self.grid, distance) for distance in range(self.grid[-1] + 2)]
        place = torch.tensor(first, device=shares.device)
        padded = torch.cat([at_least, at_least.new_zeros(len(shares), 1)], 1)
        # All of the mass reaches distance 0; a sum of shares may miss 1 by a rounding.
        return padded[:, place].clamp(max=1.0)

    @torch.no_grad()
    def note(self, lengths: Tensor) -> None:
        """Keep the mean length of the documents that it is trained on."""
        mean = lengths.to(self.length.dtype).mean()
        self.length.copy_(torch.where(self.length > 0, self.length.lerp(mean, 0.1), mean))


@register("learned-neighbours")
class LearnedNeighbours(Pattern):
    """Learned degrees of the neighbour pattern, after Breaking BERT (arXiv 2210.03841); ours.

    In the soft stage each connection has a weight that depends on its distance, added to the logits
    as a logarithm, and a penalty drives the share of the pairs that is left out, the mean of the
    step's blocks, to a target. Then each block or head is frozen to the whole number of neighbours
    that connects as many pairs, in documents as long as the last ones, times one common factor with
    which all of them land on the target, and training goes on.

    Attributes:
        heads: `"mean"` for one degree for all heads of a block, `"each"` for one each.
        target: the sparsity to reach, [CLS]'s row and column counted as connected.
        strength: the penalty is `strength · (sparsity − target)²`; with 0 there is no target.
        most: the largest degree; who is farther away is not seen even at the start.
    """

    learns = True
    soft = True

    heads: str = one_of("each", "mean", default="mean")
    target: float = number(0.78, 0, 1)
    strength: float = number(10.0, 0, 10_000)
    most: int = whole(512)

    def stages(self, plan: Plan) -> tuple[Stage, ...]:
        return (Stage("soft", share=0.5),)

    def module(self, width: int, heads: int) -> Degrees:
        return Degrees(self.most, heads if self.heads == "each" else 1)

    def connect(self, stream: Stream, module: Learned | None = None) -> Connections:
        places, tails = stream.origins, module.tails()
        head = torch.arange(len(tails), device=places.device)[None, :, None, None]

        def logs(queries: Tensor, keys: Tensor) -> Tensor:
            q, k = places[queries], places[keys]
            weights = tails[head, (q - k).abs().clamp(max=self.most + 1)]
            free = (q == k) | (q < 0) | (k < 0)
            if self.cls:
                free = free | (q == 0) | (k == 0)
            weights = torch.where(free, 1.0, weights)
            return torch.where(weights > 0, weights.clamp(min=_LEAST).log(), -torch.inf)

        def sees(queries: Tensor, keys: Tensor) -> Tensor:
            return logs(queries, keys) > -torch.inf

        return Connections(sees, None, logs)

    def share(self, module: Learned, lengths: Tensor) -> Tensor:
        module.note(lengths)
        return self._shares(module.tails(), lengths).mean()

    def _shares(self, tails: Tensor, lengths: Tensor) -> Tensor:
        """Return the share of pairs that is connected, `(heads, documents)` for these lengths."""
        distances = torch.arange(1, max(2, int(lengths.max())), device=lengths.device)
        weights = tails[:, distances.clamp(max=self.most + 1)]
        pairs = (lengths[:, None] - distances).clamp(min=0).to(weights.dtype)
        connected = lengths + 2 * weights @ pairs.t()
        if self.cls:
            others = (distances < lengths[:, None]).to(weights.dtype)
            connected = connected + 2 * (1 - weights) @ others.t()
        return connected / lengths.square()

    def penalty(self, spent: Spent) -> Tensor | None:
        sparsity = 1 - torch.stack(spent.shares).mean()
        return self.strength * (sparsity - self.target).square()

    @torch.no_grad()
    def frozen(self, modules: Sequence[Learned]) -> Neighbours:
        """Return the whole numbers of neighbours on each side that connect as many pairs."""
        length = torch.stack([module.length for module in modules]).mean().round().long()[None]
        length = torch.where(length > 0, length, self.most)
        wanted = torch.stack([self._shares(own.tails(), length)[:, 0] for own in modules])
        if self.strength:
            wanted = _landed(wanted, 1 - self.target)
        distances = torch.arange(self.most + 2, device=length.device)
        bands = (distances <= distances[: self.most + 1, None]).to(wanted.dtype)
        reached = self._shares(bands, length)[:, 0]
        widths = (wanted[..., None] - reached).abs().argmin(2).tolist()  # (blocks, heads)
        each = self.heads == "each"
        return Neighbours(widths=[own if each else own[0] for own in widths], cls=self.cls)


def _landed(shares: Tensor, mean: float) -> Tensor:
    """Return shares times one common factor, 1 at most each, with the mean that is given."""
    low, high = 0.0, 1 / max(shares.min().item(), 1e-6)
    for _ in range(50):
        middle = (low + high) / 2
        if (shares * middle).clamp(max=1).mean().item() < mean:
            low = middle
        else:
            high = middle
    return (shares * high).clamp(max=1)


@register_preset("breaking-bert", examples={"": {"most": 8, "start": 0}})
def breaking_bert(
    target: float = 0.78,
    heads: str = "mean",
    most: int = 512,
    strength: float = 10.0,
    start: int | float = 0.5,
) -> Plan:
    """Learn how far blocks attend, then freeze it (after Breaking BERT, arXiv 2210.03841; ours).

    The paper's algorithm is not known to us beyond its abstract; see this file's head.
    The target is a sparsity of attention here, the abstract's 78 % at the later blocks.
    """
    pattern = LearnedNeighbours(heads=heads, target=target, most=most, strength=strength)
    return Plan("breaking-bert", (Step(pattern, {"start": start}),))
