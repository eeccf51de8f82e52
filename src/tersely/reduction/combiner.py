"""The token combining module of Focus on the Core, in the place of one block.

For n embedded tokens ê_j and m combination tokens ĉ_i of a document,

    Sim_ij = softmax over i of (W_q LN(ĉ_i) · W_k LN(ê_j) / √d + g_ij)
    HA_ij  = onehot(argmax_i Sim_ij) + Sim_ij − stopgrad(Sim_ij)
    c_i    = ĉ_i + W_o · (Σ_j HA_ij W_v ê_j) / (Σ_j HA_ij)

with Gumbel noise g in training only, and c_i = ĉ_i for an empty group. W_k and W_v are linear, so
they are applied to the m combination tokens instead of the n embedded ones: W_kᵀ W_q LN(ĉ_i) meets
LN(ê_j), and W_v meets the group's mean. The result is the same, for 4·m·d² + 2·m·d·n MACs
in place of 2·m·d² + 2·d²·n + 2·m·d·n.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tersely.ragged import Layout

__all__ = ["Combiner"]


class Combiner(nn.Module):
    """Combines each document's tokens into its combination tokens.

    Args:
        width: size of the hidden states.
        tokens: combination tokens m.
        temperature: of the straight-through Gumbel softmax.
        epsilon: of the layer norms.
    """

    def __init__(
        self, width: int, tokens: int, temperature: float = 1.0, epsilon: float = 1e-12
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.tokens = nn.Parameter(torch.empty(tokens, width))
        self.combination_norm = nn.LayerNorm(width, eps=epsilon)
        self.embedded_norm = nn.LayerNorm(width, eps=epsilon)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self, embedded: Tensor, layout: Layout, combination: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Combine.

        Args:
            embedded: `(tokens, width)`, the documents' own tokens.
            layout: their boundaries; every document has at least one.
            combination: `(documents, m, width)`.

        Returns:
            The new combination tokens `(documents, m, width)`, and the group that each token went
            to, `(tokens,)` int64.
        """
        query = self.query(self.combination_norm(combination))
        # q · (W_k x + b) = (W_kᵀ q) · x + q · b
        probe = query @ self.key.weight
        shift = (query * self.key.bias).sum(-1)
        normed = self.embedded_norm(embedded)
        sizes = [run.documents * run.length for run in layout.runs]
        parts = zip(layout.runs, embedded.split(sizes), normed.split(sizes), strict=True)
        sums, counts, groups = [], [], []
        for run, own, own_normed in parts:
            documents = slice(run.first, run.first + run.documents)
            logits = own_normed.unflatten(0, (run.documents, run.length)) @ probe[
                documents
            ].transpose(1, 2)
            logits = (logits + shift[documents][:, None]) * embedded.shape[1] ** -0.5
            assigned, chosen = self._assign(logits)
            sums.append(assigned.transpose(1, 2) @ own.unflatten(0, logits.shape[:2]))
            counts.append(assigned.sum(1))
            groups.append(chosen.flatten())
        return self._absorb(combination, torch.cat(sums), torch.cat(counts)), torch.cat(groups)

    def _assign(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Hard assignment with straight-through gradients, `(documents, n, m)`, and the groups."""
        if self.training:
            uniform = torch.rand_like(logits).clamp_(torch.finfo(logits.dtype).tiny, 1 - 1e-7)
            logits = logits - (-uniform.log()).log()
        groups = logits.argmax(-1)
        hard = groups[..., None] == torch.arange(logits.shape[-1], device=logits.device)
        hard = hard.to(logits.dtype)
        if not (torch.is_grad_enabled() and logits.requires_grad):
            return hard, groups
        soft = (logits / self.temperature).softmax(-1)
        return hard + soft - soft.detach(), groups

    def _absorb(self, combination: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
        """Add each group's mean through the value and output projections; none for an empty one."""
        counts = counts[..., None]
        filled = counts.detach() > 0.5
        totals = torch.where(filled, counts, torch.ones_like(counts))
        # Σ HA (W_v ê + b) / Σ HA = W_v (Σ HA ê / Σ HA) + b
        absorbed = self.output(self.value(sums / totals))
        return combination + torch.where(filled, absorbed, torch.zeros_like(absorbed))

    def cost(self, tokens: int, documents: int) -> int:
        """MACs of one call: what torch's counter counts."""
        combination, width = self.tokens.shape
        return documents * combination * 4 * width * width + 2 * tokens * combination * width
