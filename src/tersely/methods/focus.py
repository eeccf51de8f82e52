"""Focus on the Core (J. Yun, M. Kim and Y. Kim, EMNLP Findings 2023, arXiv 2406.01283).

Unimportant tokens leave the keys of attention, more from block to block (P, PF), and a module in
the place of one block combines a document's tokens into a few (C, PFC). For n embedded tokens ê_j
and m combination tokens ĉ_i of a document,

    Sim_ij = softmax over i of (W_q LN(ĉ_i) · W_k LN(ê_j) / √d + g_ij)
    HA_ij  = onehot(argmax_i Sim_ij) + Sim_ij − stopgrad(Sim_ij)
    c_i    = ĉ_i + W_o · (Σ_j HA_ij W_v ê_j) / (Σ_j HA_ij)

with Gumbel noise g in training only, and c_i = ĉ_i for an empty group. W_k and W_v are linear, so
they are applied to the m combination tokens instead of the n embedded ones: W_kᵀ W_q LN(ĉ_i) meets
LN(ê_j), and W_v meets the group's mean. The result is the same, for 4·m·d² + 2·m·d·n MACs
in place of 2·m·d² + 2·d²·n + 2·m·d·n.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tersely.ragged import Layout, Ragged, quantile_of_sorted
from tersely.reduction import Candidates, ColumnMean, Plan, Step, Stream, register_preset
from tersely.reduction.actions import Action, BlockCost, BlockModule, DropKeys, DropTokens
from tersely.reduction.parts import Budget, check, number, one_of, register, whole
from tersely.reduction.selectors import BY_SHARE, LEAST, Ratio, floor_share, keep_count, mark_lowest

# The paper's quantiles a and b, and its α-cuts of importance and of unimportance.
_QUANTILES = (0.25, 0.75)
_IMPORTANT, _UNIMPORTANT = 0.01, 0.9


@register("combine")
class Combine(Action):
    """Focus on the Core (arXiv 2406.01283), C: a module in a block's place combines the tokens.

    Combination tokens are appended to the embedded document, exempt from pruning, and take each a
    group of tokens in; from there on they are all that is left. Ours draws Gumbel noise for each
    pair (the paper's notation would give a token the same for all groups, which shifts nothing),
    scales the product by 1/√d as GroupViT does, and applies the key and value projections on the
    side of the few combination tokens, which is the same by linearity and costs next to nothing.
    """

    selects = False
    acts = "block"
    keeps_tokens = False

    tokens: int = whole(8)  # combination tokens m; the paper's 8
    # Of the straight-through Gumbel softmax; the paper's 1.
    temperature: float = number(1.0, 0, 100, open_low=True)

    def module(self, width: int, heads: int) -> Combiner:
        return Combiner(width, self.tokens, self.temperature)


@register("fuzzy-ratio")
class FuzzyRatio(Ratio):
    """Focus on the Core (arXiv 2406.01283), PF: ratio pruning of what is fuzzily unimportant only.

    With a and b the quantiles of a document's scores in all heads, importance is
    `clip((S − a)/(b − a), 0, 1)`; tokens that are important (its α-cut) and not unimportant (the
    α-cut of one minus it) are safe. The paper can be read in two ways, and both are here.

    Attributes:
        reading: `"block"`: the block's count falls to `floor(p·t)`, the losers drawn only from
            those not safe (fewer, if they are too few); with key sets per head this fits the
            paper's memory figures. `"complement"`: p applies to those not safe alone, about 3 % of
            the keys go.
    """

    reading: str = one_of("block", "complement", default="block")

    def losers(self, candidates: Candidates) -> Tensor:
        unsafe, layout = self.unsafe(candidates), candidates.layout
        counts = candidates.counts
        wanted = counts - keep_count(counts, self.keep, self.least)
        if self.reading == "complement":
            share = layout.count(unsafe)
            wanted = torch.minimum(share - floor_share(share, self.keep), counts - self.least)
        # Unsafe tokens are the lowest ones of their head, so the lowest few of all are among them;
        # a pinned one of them stays, but no safe token goes in its place.
        free = layout.count(unsafe & ~candidates.pinned[:, None])
        return mark_lowest(candidates, torch.minimum(wanted, free))

    def unsafe(self, candidates: Candidates) -> Tensor:
        """Return who may be pruned, `(tokens, heads or 1)` bool: not important, or unimportant."""
        segment_ids = candidates.layout.segment_ids
        low, high = (own[segment_ids][:, None] for own in self._quantiles(candidates))
        spread = (high - low).clamp(min=torch.finfo(low.dtype).tiny)
        importance = ((candidates.scores - low) / spread).clamp(0, 1)
        safe = (importance >= _IMPORTANT) & ~(1 - importance >= _UNIMPORTANT)
        return candidates.alive & ~safe

    def _quantiles(self, candidates: Candidates) -> list[Tensor]:
        heads, layout = candidates.scores.shape[1], candidates.layout
        ordered = layout.sorted(candidates.scores.masked_fill(~candidates.alive, torch.inf))
        starts, lengths = layout.offsets[:-1] * heads, candidates.counts.sum(1)
        return [quantile_of_sorted(ordered, starts, lengths, q) for q in _QUANTILES]


class Combiner(BlockModule):
    """Combines each document's tokens into its combination tokens, of a Gumbel temperature."""

    def __init__(self, width: int, tokens: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.tokens = nn.Parameter(torch.empty(tokens, width))
        self.combination_norm = nn.LayerNorm(width, eps=1e-12)
        self.embedded_norm = nn.LayerNorm(width, eps=1e-12)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, embedded: Tensor, layout: Layout, combination: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Combine the documents' own tokens, `(tokens, width)`, at least one of each.

        `combination` is `(documents, m, width)`, as are the new combination tokens that it returns,
        with the group that each token went to, `(tokens,)` int64.
        """
        query = self.query(self.combination_norm(combination))
        # q · (W_k x + b) = (W_kᵀ q) · x + q · b
        probe = query @ self.key.weight
        shift = (query * self.key.bias).sum(-1)
        normed = self.embedded_norm(embedded)
        sums, counts, groups = [], [], []
        for run in layout.runs:
            shape, rows = (run.documents, run.length), run.tokens
            documents = slice(run.first, run.first + run.documents)
            logits = normed[rows].unflatten(0, shape) @ probe[documents].transpose(1, 2)
            logits = (logits + shift[documents][:, None]) * embedded.shape[1] ** -0.5
            assigned, chosen = self._assign(logits)
            sums.append(assigned.transpose(1, 2) @ embedded[rows].unflatten(0, shape))
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
        counts = counts[..., None]
        filled = counts.detach() > 0.5
        # Σ HA (W_v ê + b) / Σ HA = W_v (Σ HA ê / Σ HA) + b
        absorbed = self.output(self.value(sums / torch.where(filled, counts, 1.0)))
        return combination + torch.where(filled, absorbed, 0.0)

    def start(self) -> None:
        nn.init.normal_(self.tokens)

    @torch.no_grad()
    def start_from(self, backbone: Any, block: int, separator: int | None) -> None:
        """Start from the replaced block's projections, and norms that only scale."""
        projections = backbone.projections(backbone.blocks[block])
        own = (self.query, self.key, self.value, self.output)
        for target, source in zip(own, projections, strict=True):
            target.weight.copy_(source.weight)
            target.bias.copy_(0 if source.bias is None else source.bias)
        self.tokens.copy_(starting_tokens(backbone, len(self.tokens), separator))

    def enter(self, stream: Stream) -> Stream:
        return stream.append(self.tokens)

    def replace_block(self, stream: Stream) -> tuple[Stream, Ragged]:
        """Return the combination tokens, all that is left, and the group of each own token."""
        embedded = Ragged(stream.hidden, stream.layout).select(stream.embedded)
        last = torch.arange(-len(self.tokens), 0, device=stream.hidden.device)
        combination = stream.hidden[stream.layout.offsets[1:, None] + last]
        combined, groups = self(embedded.values, embedded.layout, combination)
        layout = stream.layout.of_equal(len(self.tokens))
        origins = torch.full((layout.tokens,), -1, device=stream.hidden.device)
        after = Stream(combined.flatten(0, 1), layout, origins, lengths=stream.lengths)
        return after, Ragged(groups, embedded.layout)

    def block_cost(self, documents: int) -> BlockCost:
        combination, width = self.tokens.shape
        fixed = documents * combination * 4 * width * width
        return BlockCost(entering=2 * combination * width, fixed=fixed)


def starting_tokens(source: Any, count: int, separator: int | None) -> Tensor:
    """Return first vectors of the combination tokens: the separator ([SEP]) at places spread out.

    In the place of a block of fine-tuned dense models of MiniLM-L6, not trained any further, such
    tokens cost 0.0, 5.0 and 2.3 points on 300 documents of BBC, R8 and 20 Newsgroups. Words cost 56
    points on 20 Newsgroups, random vectors on the scale of embedded tokens 54: these are one and
    the same vector after three blocks, so that groups are arbitrary (2026-11-22). Without a
    separator, random words stand at these places.
    """
    words = source.encoder.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(words // 10, max(1, words // 2), (count,), generator=generator)
    if separator is not None:
        ids = torch.full_like(ids, separator)
    room = min(512, source.longest_document or 512)
    places = 1 + torch.arange(count) * max(1, room // (2 * count)) % max(1, room - 1)
    device = source.encoder.get_input_embeddings().weight.device
    tokens = source.embed(ids.to(device), places.to(device), None)
    # Where places are not embedded, as with rotary positions, all would start as one. Drawn on the
    # CPU, the noise is the same wherever the model is.
    noise = torch.randn(tokens.shape, generator=generator)
    return tokens + 0.01 * tokens.std() * noise.to(tokens)


# Of four blocks, so that keys dropped after the first two are missed by the others, and half of
# the tokens goes where the paper takes a tenth: the examples' documents are short.
_HALF = {"keep": 0.5}
_HALF_TOKENS = {**_HALF, "drop": "tokens", "least": 1}
_EARLY = {"combine_at": 0.75, "tokens": 4}
_BLOCK = Budget("combine_at", lambda depth: tuple(range(depth - 1)))


@register_preset("focus-p", budget=BY_SHARE, examples={"": _HALF}, nothing={"keep": 1.0})
def focus_p(
    keep: float = 0.9, heads: str = "auto", drop: str = "keys", pin: str = "ends", least: int = 0
) -> Plan:
    """Prune tokens by ratio, in every block (Focus on the Core, arXiv 2406.01283, P)."""
    return Plan("focus-p", (_pruning(Ratio(keep=keep, pin=pin), heads, drop, least, None),))


@register_preset(
    "focus-pf",
    budget=BY_SHARE,
    examples={
        "": _HALF,
        "tokens": _HALF_TOKENS,
        "most keys": {"keep": 0.8},
        "heads mean": {**_HALF, "heads": "mean"},
        "complement": {**_HALF, "reading": "complement"},
    },
    nothing={"keep": 1.0},
)
def focus_pf(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "block",
    drop: str = "keys",
    pin: str = "ends",
    least: int = 0,
) -> Plan:
    """Prune tokens fuzzily, in every block (Focus on the Core, arXiv 2406.01283, PF)."""
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    return Plan("focus-pf", (_pruning(select, heads, drop, least, None),))


@register_preset("focus-c", budget=_BLOCK, examples={"": _EARLY})
def focus_c(combine_at: int | float = 7 / 12, tokens: int = 8) -> Plan:
    """Combine tokens, nothing else (Focus on the Core, arXiv 2406.01283, C)."""
    return Plan("focus-c", (Step(Combine(tokens=tokens), combine_at),))


@register_preset(
    "focus-pfc",
    budget=_BLOCK,
    examples={"": {**_HALF, **_EARLY}, "tokens": {**_HALF_TOKENS, **_EARLY}},
)
def focus_pfc(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "block",
    drop: str = "keys",
    pin: str = "ends",
    least: int = 0,
    combine_at: int | float = 7 / 12,
    tokens: int = 8,
) -> Plan:
    """Prune fuzzily before a combining block (Focus on the Core, arXiv 2406.01283, PFC).

    The block is the paper's fast variant, the seventh of twelve, since that is what saves time; its
    more careful one is `combine_at=11/12`.
    """
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    pruning = _pruning(select, heads, drop, least, combine_at)
    return Plan("focus-pfc", (pruning, Step(Combine(tokens=tokens), combine_at)))


def _pruning(select: Ratio, heads: str, drop: str, least: int, stop: int | float | None) -> Step:
    """Return the step that prunes up to the block `stop`.

    Where only keys go a `least` of 0 is 1, as in the paper: what is no key is read at the end.
    """
    check(drop in ("keys", "tokens"), "drop", "'keys' or 'tokens'", drop)
    keys = drop == "keys"
    if heads == "auto":
        heads = "each" if keys else "mean"
    select = replace(select, least=least or (1 if keys else LEAST))
    act = DropKeys() if keys else DropTokens()
    return Step(act, {"start": 0, "stop": stop}, ColumnMean(heads=heads), select)
