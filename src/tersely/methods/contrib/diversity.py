"""Beyond Attentive Tokens (arXiv 2211.11315): the best stay, the others become a few clusters.

The paper (S. Long et al., CVPR 2023) keeps the patches that [CLS] attends to most, merges nearly
equal pairs of them, and clusters the others by density peaks. Ours scores by column mean, takes
shares of each document's tokens where the paper has numbers for images of one size, and measures a
token's density by its mean distance from all others that would go.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tersely.ragged import lowest_of_columns
from tersely.reduction import LEAST, Action, ColumnMean, Plan, Ratio, Step, Stream, register_preset
from tersely.reduction.parts import number, register, whole
from tersely.reduction.selectors import BY_SHARE, floor_share


@register("diversify")
class Diversify(Action):
    """The losers are averaged, by importance, in clusters around their density peaks.

    Of those that stay, [CLS] aside, every second one looks among the others for the one of the
    highest cosine, and the closest pairs merge.

    Attributes:
        clusters: how many clusters a document's losers become, as a share of them; one at least.
        matched: how many of those that stay go into another, as a share of them.
        least: tokens that matching leaves of a document at least.
    """

    clusters: float = number(0.2, 0, 1)
    matched: float = number(0.1, 0, 0.5)
    least: int = whole(LEAST)

    def apply(self, stream: Stream, losers: Tensor, seen: Tensor) -> Stream:
        """Return the stream of those that stay and of the peaks; `seen` are the scores."""
        layout, hidden, lost = stream.layout, stream.hidden.detach(), losers[:, 0]
        stays = stream.embedded & ~lost & (stream.origins != 0)
        leaders = []
        for run in layout.runs:
            shape = (run.documents, run.length)
            states = hidden[run.tokens].view(*shape, -1)
            out, own = lost[run.tokens].view(shape), stays[run.tokens].view(shape)
            into = self._clustered(states, out)
            partner, goes = self._matched(states, own)
            rows = torch.arange(run.length, device=lost.device).expand(shape)
            into = torch.where(out, into, torch.where(goes, partner, rows))
            firsts = run.start + run.length * torch.arange(run.documents, device=lost.device)
            leaders.append((firsts[:, None] + into).flatten())
        shares = seen[:, 0].detach().clamp(min=1e-6)
        return stream.merge(torch.cat(leaders), shares)

    def _clustered(self, states: Tensor, out: Tensor) -> Tensor:
        """Return the place of the peak that each loser goes to, `(documents, length)`."""
        sizes, products = states.square().sum(2), states @ states.transpose(1, 2)
        far = (sizes[:, :, None] + sizes[:, None] - 2 * products).clamp(min=0)
        count = out.long().sum(1)
        mean = (far * out[:, None]).sum(2) / count.clamp(min=1)[:, None]
        scale = (mean * out).sum(1) / count.clamp(min=1)
        density = torch.exp(-mean / scale.clamp(min=1e-12)[:, None])
        earlier = torch.ones_like(far[0], dtype=torch.bool).tril(-1)
        tied = (density[:, None] == density[:, :, None]) & earlier
        denser = ((density[:, None] > density[:, :, None]) | tied) & out[:, None]
        gap = torch.where(
            denser.any(2),
            far.masked_fill(~denser, torch.inf).amin(2),
            far.masked_fill(~out[:, None], 0).amax(2),
        )
        rank = (density * gap).masked_fill(~out, -torch.inf)
        peaks = torch.minimum(floor_share(count, self.clusters).clamp(min=1), count)
        peak = ~lowest_of_columns(rank.t(), out.shape[1] - peaks).t() & out
        nearest = far.masked_fill(~peak[:, None], torch.inf).argmin(2)
        rows = torch.arange(out.shape[1], device=out.device)
        return torch.where(peak, rows, nearest)

    def _matched(self, states: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return each staying token's likest partner, and who of them goes into it."""
        units = normalize(states, dim=2)
        odd = (own.long().cumsum(1) - 1) % 2 == 1
        pairs = (own & ~odd)[:, :, None] & (own & odd)[:, None]
        best, partner = (units @ units.transpose(1, 2)).masked_fill(~pairs, -torch.inf).max(2)
        count = own.long().sum(1)
        counts = torch.minimum(floor_share(count, self.matched), count + 1 - self.least).clamp(0)
        others = lowest_of_columns(best.t(), own.shape[1] - counts).t()
        return partner, ~others & (best > -torch.inf)

    def cost(self, sizes: list[int], width: int, heads: int) -> int:
        return 2 * width * sum(size * size for size in sizes)


@register_preset(
    "diversity",
    budget=BY_SHARE,
    examples={
        "": {"keep": 0.5, "matched": 0.3, "least": 1},
        "one cluster": {"keep": 0.3, "clusters": 0.0, "at": 0, "least": 1},
    },
    nothing={"keep": 1.0, "matched": 0.0},
)
def diversity(
    keep: float = 0.3,
    at: int | float = 1 / 3,
    clusters: float = 0.2,
    matched: float = 0.1,
    least: int = LEAST,
) -> Plan:
    """Keep the best tokens, and the rest as clusters (Beyond Attentive Tokens, 2211.11315)."""
    action = Diversify(clusters=clusters, matched=matched, least=least)
    select = Ratio(keep=keep, pin="first", least=least)
    return Plan("diversity", (Step(action, at, ColumnMean(), select),))
