"""Packed attention from its definition, slowly: one document and one head at a time.

Everything here loops and spells out its softmax, in float64, so that no trick of the library's back
ends is shared with what they are compared to.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import varlen as torch_varlen

from tersely.attention import KeySet, Packing, ScoreRequest, packed_attention
from tersely.ragged import Layout

SIZE = 8


@dataclass(frozen=True)
class Case:
    """One call of packed attention, with everything a test may want to vary, as in `Packing`."""

    sizes: list[int]
    states: Tensor  # query, key and value, (3, tokens, heads, size)
    alive: Tensor | None = None  # who is still a key, (tokens,) or (tokens, heads)
    request: ScoreRequest | None = None
    window: int | None = None
    positions: Tensor | None = None
    in_place: bool = False  # whether each head's keys are hidden in their places, not gathered
    relative: Tensor | None = None

    @property
    def layout(self) -> Layout:
        return Layout.from_lengths(self.sizes)

    @property
    def keys(self) -> KeySet | None:
        if self.alive is None:
            return None
        make = KeySet.hidden if self.in_place else KeySet.from_mask
        return make(self.alive, self.layout)

    @property
    def spans(self) -> list[range]:
        """The tokens of each document."""
        ends = [sum(self.sizes[:number]) for number in range(len(self.sizes) + 1)]
        return [range(*pair) for pair in pairwise(ends)]

    @property
    def places(self) -> Tensor:
        return torch.arange(sum(self.sizes)) if self.positions is None else self.positions

    def only(self, document: int) -> "Case":
        """The same call with one document of the batch."""
        span = self.spans[document]
        part = slice(span.start, span.stop)

        def cut(values):
            return None if values is None else values[part]

        request = self.request and replace(self.request, counted=cut(self.request.counted))
        fields = {"alive": cut(self.alive), "positions": cut(self.positions), "request": request}
        return replace(self, sizes=[len(span)], states=self.states[:, part], **fields)

    def expected(self) -> tuple[Tensor, Tensor]:
        """The context `(tokens, heads, size)` and the score of each token, `(tokens, heads)`."""
        query, key, value = self.states.double()
        # Not mere zeros, so that even a call in which nobody sees anything has gradients.
        context, scores = query * 0, query[..., 0] * 0
        for span in self.spans:
            part, counting = slice(span.start, span.stop), self._counting(span)
            for head in range(query.shape[1]):
                seen = self._seen(part, head)
                logits = query[part, head] @ key[part, head].T / math.sqrt(SIZE)
                logits = logits + self._added(part, head)
                exponentials = logits.exp() * seen
                # A query that sees no key attends to nothing.
                totals = exponentials.sum(1, keepdim=True)
                weights = exponentials / totals.where(totals > 0, 1)
                context[part, head] = weights @ value[part, head]
                if counting:
                    scores[part, head] = self._score(weights, counting, value[part, head])
        return context, scores

    def _score(self, weights: Tensor, counting: list[int], value: Tensor) -> Tensor:
        """The scores of one head's keys in one document, from its matrix."""
        request = self.request or ScoreRequest()
        if not request.diagonal:
            weights = weights * (1 - torch.eye(len(weights)))
        paid = weights[counting]
        score = paid.mean(0)
        return score * value.norm(dim=1) if request.values else score

    def expected_places(self) -> Tensor:
        """The scores as attention returns them: of each key place, `(keys, heads or 1)`."""
        scores = self.expected()[1]
        keys = self.keys
        if keys is not None and keys.per_head:
            scores = scores.gather(0, keys.index)
            scores = scores if keys.filled is None else scores * keys.filled
        elif keys is not None:
            scores = scores[keys.index]
        return scores if self.request.per_head else scores.mean(1, keepdim=True)

    def _added(self, part: slice, head: int) -> Tensor | float:
        """What each pair's distance adds to its logit, `(queries, keys)`."""
        if self.relative is None:
            return 0.0
        own, reach = self.places[part].clamp(min=0).tolist(), self.relative.shape[1] // 2
        far = [[min(max(k - q, -reach), reach) + reach for k in own] for q in own]
        far = torch.tensor(far, dtype=torch.long).view(len(own), len(own))
        return self.relative[head, far].double()

    def _seen(self, part: slice, head: int) -> Tensor:
        """Which keys of a document the queries see, `(queries, keys)` bool."""
        here, there = self.places[part, None], self.places[None, part]
        seen = torch.ones_like(here * there, dtype=torch.bool)
        if self.window is not None:
            seen = ((here - there).abs() < self.window) | (here == -1) | (there == -1)
        if self.alive is None:
            return seen
        return seen & (self.alive if self.alive.dim() == 1 else self.alive[:, head])[part]

    def _counting(self, span: range) -> list[int]:
        """The places of a document's queries that count in its scores."""
        counted = self.request and self.request.counted
        return [i for i, row in enumerate(span) if counted is None or counted[row]]


def run(case: Case, backend: str, **options) -> tuple[Tensor, Tensor | None]:
    """Call the library: the context `(tokens, heads, size)`, and the scores it returned."""
    query, key, value = (states.transpose(0, 1)[None] for states in case.states)
    fields = {"backend": backend, "relative": case.relative}
    packing = Packing(case.layout, case.keys, case.request, case.positions, **fields)
    context, scores = packed_attention(
        None, query, key, value, sliding_window=case.window, packing=packing, **options
    )
    assert packing.calls == 1
    return context[0], scores


def gradients(case: Case, compute: Callable) -> Tensor:
    """Gradients of the states under a fixed random cotangent, context and scores together."""
    states = case.states.double().requires_grad_()
    generator = torch.Generator().manual_seed(1)
    cost = 0
    for returned in compute(replace(case, states=states)):
        if returned is not None:
            cost = cost + (returned * torch.randn(returned.shape, generator=generator)).sum()
    return torch.autograd.grad(cost, states)[0]


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Assert equality of shapes, and of all entries to a tolerance."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance, check_dtype=False)


def make_case(sizes: list[int], *, heads: int = 2, seed: int = 0, **fields) -> Case:
    """A case with random states; fields as in `Case`."""
    generator = torch.Generator().manual_seed(seed)
    return Case(sizes, torch.randn(3, sum(sizes), heads, SIZE, generator=generator), **fields)


@st.composite
def cases(draw, *, scores=False) -> Case:
    """Random calls: empty documents, lost keys, windows and global tokens among them."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any))
    heads, seed = draw(st.integers(1, 3)), draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(sizes)
    alive, kind = None, draw(st.sampled_from(["all", "shared", "each", "equal", "hidden"]))
    if kind != "all":
        alive = torch.rand(tokens, *([] if kind == "shared" else [heads]), generator=generator)
        alive = alive < draw(st.sampled_from([0.2, 0.7]))
        if kind == "equal":
            # As many keys in each head, but other ones: what one head has, the next has turned.
            parts = [part[:, :1].roll(1, 0) for part in alive.split(sizes)]
            alive = torch.cat([alive[:, :1], torch.cat(parts).expand(-1, heads - 1)], 1)
    window = draw(st.sampled_from([None, 1, 2, 4]))
    positions = relative = None
    if draw(st.integers(0, 3)) == 0:
        relative = torch.randn(heads, 2 * draw(st.integers(0, 6)) + 1, generator=generator)
    if (window is not None or relative is not None) and draw(st.booleans()):
        positions = torch.cat([_positions(size, generator) for size in sizes])
    request = draw(_requests(tokens, alive, generator)) if scores else None
    fields = {"alive": alive, "window": window, "positions": positions, "request": request}
    fields |= {"in_place": kind == "hidden", "relative": relative}
    return make_case(sizes, heads=heads, seed=seed, **fields)


def _positions(size: int, generator: torch.Generator) -> Tensor:
    """What is left of a document from which tokens were taken, and a global token at times."""
    places = torch.randperm(2 * size + 1, generator=generator)[:size].sort().values
    if size and torch.rand((), generator=generator) < 0.5:
        places[-1] = -1
    return places


@st.composite
def _requests(draw, tokens, alive, generator):
    counted = torch.rand(tokens, generator=generator) < 0.6 if draw(st.booleans()) else None
    return ScoreRequest(
        diagonal=alive is not None or draw(st.booleans()),
        values=draw(st.booleans()),
        # The key places of heads with sets of their own hold different tokens: no mean of them.
        per_head=(alive is not None and alive.dim() == 2) or draw(st.booleans()),
        counted=counted,
        differentiable=draw(st.booleans()),
    )


# ---- a stand-in for torch's kernel -------------------------------------------------------------

_REAL = inspect.signature(torch_varlen.varlen_attn)


def varlen_reference(*args, **kwargs) -> Tensor:
    """What `torch.nn.attention.varlen.varlen_attn` computes, on any device and in any dtype."""
    call = _REAL.bind(*args, **kwargs)
    call.apply_defaults()
    query, key, value, starts, key_starts, longest, longest_key = list(call.arguments.values())[:7]
    assert starts.dtype == key_starts.dtype == torch.int32, "the kernel takes int32 boundaries"
    assert longest == max(starts.diff().tolist()) and longest_key == max(key_starts.diff().tolist())
    assert (starts[-1], key_starts[-1]) == (len(query), len(key))
    before, after = call.arguments["window_size"]
    parts, rows = [], ((query, starts), (key, key_starts), (value, key_starts))
    documents = zip(*(row.split(bounds.diff().tolist()) for row, bounds in rows), strict=True)
    for q, k, v in documents:
        logits = torch.einsum("qhs,khs->hqk", q, k) * call.arguments["scale"]
        distance = torch.arange(len(k))[None, :] - torch.arange(len(q))[:, None]
        if before >= 0:
            logits = logits.masked_fill(distance < -before, -torch.inf)
        if after >= 0:
            logits = logits.masked_fill(distance > after, -torch.inf)
        parts.append(torch.einsum("hqk,khs->qhs", logits.softmax(-1), v))
    return torch.cat(parts)
