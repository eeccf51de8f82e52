"""ToMe (D. Bolya et al., ICLR 2023, arXiv 2210.09461): the most similar tokens become one."""

import torch
from torch import Tensor

from tersely.ragged import lowest_of_columns
from tersely.reduction import LEAST, Action, Plan, Step, Stream, register_preset
from tersely.reduction.parts import Budget, Range, number, register, whole


@register("merge")
class Merge(Action):
    """ToMe (arXiv 2210.09461): the most similar pairs of tokens become one, their weighted mean.

    Tokens at even places look among those at odd places for the most similar one, by the cosine of
    their keys' means over the heads; the closest pairs merge. Ours takes a share of each document's
    tokens where the paper takes a number for fixed-size images, and leaves tokens in their order.
    """

    selects = False
    attention = "keys"
    budget = Budget("ratio", Range(0.0, 0.5))

    ratio: float = number(0.1, 0, 0.5)  # of a document's tokens, merged away at each block
    least: int = whole(LEAST)  # tokens that a document keeps at least; who has no more loses none

    def apply(self, stream: Stream, losers: Tensor | None, seen: Tensor) -> Stream:
        """Return the stream with pairs merged; `seen` are the keys' means `(tokens, size)`."""
        return stream.merge(self.leaders(stream, seen))

    def leaders(self, stream: Stream, keys: Tensor) -> Tensor:
        """Return the token that each token goes into, `(tokens,)`: itself, or its best match."""
        units = torch.nn.functional.normalize(keys.detach(), dim=1)
        own, layout = stream.embedded, stream.layout
        leaders = torch.arange(layout.tokens, device=keys.device)
        for run in layout.runs:
            shape = (run.documents, run.length)
            metric = units[run.tokens].view(*shape, -1)
            mine = own[run.tokens].view(shape)
            even, odd = metric[:, ::2], metric[:, 1::2]
            if not layout.symbolic and odd.shape[1] == 0:
                continue
            likeness = even @ odd.transpose(1, 2)
            free = mine[:, ::2].clone()
            free[:, 0] = False  # [CLS] goes into nothing
            likeness = likeness.masked_fill(~(free[:, :, None] & mine[:, None, 1::2]), -torch.inf)
            best, match = likeness.max(2)
            size = mine.sum(1)
            counts = (self.ratio * size + 1e-9).floor().long()
            counts = torch.minimum(counts, size - self.least).clamp(min=0)
            # The closest pairs are those that are not among the lowest of the others.
            others = lowest_of_columns(best.t(), best.shape[1] - counts).t()
            chosen = ~others & (best > -torch.inf)
            first = (
                run.start + torch.arange(run.documents, device=keys.device)[:, None] * run.length
            )
            source = first + 2 * torch.arange(best.shape[1], device=keys.device)
            into = torch.where(chosen, first + 2 * match + 1, source)
            leaders = leaders.index_copy(0, source.flatten(), into.flatten())
        return leaders

    def cost(self, sizes: list[int], width: int, heads: int) -> int:
        return width // heads * sum(((size + 1) // 2) * (size // 2) for size in sizes)


@register_preset(
    "tome",
    budget=Merge.budget,
    examples={"": {"ratio": 0.3, "start": 1, "least": 1}},
    nothing={"ratio": 0.0},
)
def tome(ratio: float = 0.2, start: int | float = 0, least: int = LEAST) -> Plan:
    """Merge the most similar tokens at every block (ToMe, arXiv 2210.09461)."""
    return Plan("tome", (Step(Merge(ratio=ratio, least=least), {"start": start}),))
