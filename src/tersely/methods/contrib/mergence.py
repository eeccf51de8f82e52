"""Token Mergence (arXiv 2306.04897): who would go is averaged into the likest that stays.

The paper (Z. Bian et al., Multi-Scale And Token Mergence, 2023) keeps the patches that [CLS]
attends to most; ours keeps the best by column mean, a share of each document's tokens where the
paper has a number for images of one size, and none of its multi-scale features, which images have.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tersely.reduction import LEAST, Action, ColumnMean, Plan, Ratio, Step, Stream, register_preset
from tersely.reduction.parts import register
from tersely.reduction.selectors import BY_SHARE


@register("absorb")
class Absorb(Action):
    """Each loser is averaged, by importance, into the most similar of the tokens that stay.

    Similar is what has a high cosine of the states. [CLS] absorbs nothing while
    another token stays.
    """

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor) -> Stream:
        """Return the stream of those that stay; `seen` are the scores `(tokens, 1)`."""
        lost, layout = losers[:, 0], stream.layout
        units = normalize(stream.hidden.detach(), dim=1)
        stays, first = stream.embedded & ~lost, stream.origins == 0
        leaders = []
        for run in layout.runs:
            shape = (run.documents, run.length)
            states = units[run.tokens].view(*shape, -1)
            into = (stays & ~first)[run.tokens].view(shape)
            into = into | stays[run.tokens].view(shape) & ~into.any(1, keepdim=True)
            likeness = (states @ states.transpose(1, 2)).masked_fill(~into[:, None], -torch.inf)
            firsts = run.start + run.length * torch.arange(run.documents, device=lost.device)
            leaders.append((firsts[:, None] + likeness.argmax(2)).flatten())
        rows = torch.arange(layout.tokens, device=lost.device)
        shares = seen[:, 0].detach().clamp(min=1e-6)
        return stream.merge(torch.where(lost, torch.cat(leaders), rows), shares)

    def cost(self, sizes: list[int], width: int, heads: int) -> int:
        return width * sum(size * size for size in sizes)


@register_preset(
    "mergence",
    budget=BY_SHARE,
    examples={"": {"keep": 0.5, "least": 1}, "of few": {"keep": 0.1, "at": 0, "least": 1}},
    nothing={"keep": 1.0},
)
def mergence(keep: float = 0.4, at: int | float = 1 / 3, least: int = LEAST) -> Plan:
    """Average dropped tokens into the most similar ones (Token Mergence, arXiv 2306.04897)."""
    select = Ratio(keep=keep, pin="first", least=least)
    return Plan("mergence", (Step(Absorb(), at, ColumnMean(), select),))
