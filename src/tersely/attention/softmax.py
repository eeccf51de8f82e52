"""softmax(QKᵀ)V with its matrix written out, the one place where it is: scores need the matrix.

It is made in pieces that stay in the cache, over documents, heads and queries. Where nothing is
kept for a backward pass, every piece is made and normalised in one buffer, a `Workspace`.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tersely.attention.packing import ScoreRequest
from tersely.ragged import Layout, Ragged

# Entries of the matrix that are made at a time: 1 Mi floats (4 MiB) stay in the cache of a server
# core. One matrix for 16 documents of 512 tokens and 12 heads would take 192 MiB.
_PIECE = 1 << 20


class Workspace:
    """The buffer in which the matrices of one row's documents are made, one after the other."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._buffer = torch.empty(0, dtype=dtype)

    def take(self, *shape: int) -> Tensor:
        """Return a contiguous tensor of this shape, whose entries are what they were before."""
        needed = torch.Size(shape).numel()
        if needed > self._buffer.numel():
            self._buffer = self._buffer.new_empty(needed)
        return self._buffer[:needed].view(shape)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    rows: Tensor | None = None,
    request: ScoreRequest | None = None,
    scaling: float,
    dropout: float = 0.0,
    workspace: Workspace | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention of documents of equal length, and the scores of its keys, in pieces.

    Queries, keys and values are `(documents, heads, length, size)`. `mask`, true where a query may
    see, and `bias`, which is added to the logits, are broadcastable to `(documents, heads, queries,
    keys)`; a query that sees no key attends to nothing. `rows` `(documents, queries)` are what the
    queries count in the scores of a `request`, which are taken before the dropout. A `workspace`,
    through which no gradients flow, comes with an `out`, where the context is written.

    Returns the context, as `query`, and the scores `(documents, heads, keys)`, float32 at least.
    """
    documents, heads, queries, _ = query.shape
    pairs = max(1, queries * key.shape[2])
    together = max(1, min(documents, _PIECE // (heads * pairs)))
    head_step = max(1, min(heads, _PIECE // (together * pairs)))
    row_step = max(32, _PIECE // (together * head_step * max(1, key.shape[2])))
    options = {"request": request, "scaling": scaling, "dropout": dropout, "workspace": workspace}
    blind = blind_queries(mask)
    contexts, scores = [], []
    # By `split`: its gradient is one concatenation, that of each slice as large as what it is of.
    documents_of = zip(*(states.split(together) for states in (query, key, value)), strict=True)
    for some, states in zip(_steps(documents, together), documents_of, strict=True):
        heads_done, heads_scored = [], []
        heads_of = zip(*(part.split(head_step, 1) for part in states), strict=True)
        for few, (q, k, v) in zip(_steps(heads, head_step), heads_of, strict=True):
            rows_done, score = [], None
            for part, q_rows in zip(_steps(queries, row_step), q.split(row_step, 2), strict=True):
                terms = {"mask": mask, "bias": bias, "blind": blind}
                terms = {name: _cut(term, some, few, part) for name, term in terms.items()}
                own = None if rows is None else rows[some, part]
                done, more = attend_piece(
                    q_rows, k, v, rows=own, first=part.start, **terms, **options
                )
                score = more if score is None else score + more
                if out is None:
                    rows_done.append(done)
                else:
                    out[some, few, part] = done
            heads_done.append(rows_done)
            heads_scored.append(score)
        contexts.append(heads_done)
        scores.append(heads_scored)
    if out is None:
        out = _cat([_cat([_cat(part, 2) for part in done], 1) for done in contexts], 0)
    return out, None if rows is None else _cat([_cat(scored, 1) for scored in scores], 0)


def attend_piece(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None,
    bias: Tensor | None,
    blind: Tensor | None,
    rows: Tensor | None,
    request: ScoreRequest | None,
    scaling: float,
    dropout: float = 0.0,
    first: int = 0,
    workspace: Workspace | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute a piece of `attend`, from a document's query `first` on, as a graph can hold it."""
    weights = matrix(query, key, mask, bias, blind, scaling, workspace)
    score = None if rows is None else _column_scores(weights, rows, request, first)
    weights = F.dropout(weights, dropout) if dropout else weights
    return weights @ value, score


def matrix(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    blind: Tensor | None,
    scaling: float,
    workspace: Workspace | None,
) -> Tensor:
    """Make the normalised attention matrix, `(documents, heads, queries, keys)`."""
    added = _added(mask, bias, query)
    if workspace is None:
        if torch.compiler.is_exporting():
            logits = (query * scaling) @ key.transpose(2, 3)
        else:
            # One pass less over queries and matrix than a product that is scaled.
            q, k = query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)
            logits = torch.baddbmm(q.new_empty(1, 1, 1), q, k, beta=0, alpha=scaling)
            logits = logits.unflatten(0, query.shape[:2])
        weights = (logits if added is None else logits + added).softmax(-1)
        return weights if blind is None else weights.masked_fill(blind, 0)
    q, k = query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)
    flat = workspace.take(*q.shape[:2], key.shape[2])
    torch.baddbmm(flat, q, k, beta=0, alpha=scaling, out=flat)
    weights = flat.unflatten(0, query.shape[:2])
    if added is not None:
        weights += added
    torch.softmax(weights, -1, out=weights)
    return weights if blind is None else weights.masked_fill_(blind, 0)


def attend_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    scaling: float,
    dropout: float,
) -> Tensor:
    """Compute the same by torch's kernels, which keep no matrix and return no scores."""
    seen = mask if bias is None else _added(mask, bias, query)
    context = F.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, dropout_p=dropout, scale=scaling
    )
    if bias is None or mask is None:
        return context
    return context.masked_fill(~mask.any(-1, keepdim=True), 0)


def _added(mask: Tensor | None, bias: Tensor | None, like: Tensor) -> Tensor | None:
    """What is added to the logits: the bias where a query may see, and very little elsewhere.

    Half of the lowest number, not −∞: a row without any key would be NaN. Adding is five to nine
    times as fast as filling with a mask that is broadcast (180 and 512 keys; two Skylake cores,
    2026-11-22), and what ONNX Runtime does fastest.
    """
    bias = None if bias is None else bias.to(like.dtype)
    if mask is None:
        return bias
    lowest = torch.finfo(like.dtype).min / 2
    if bias is None:
        return like.new_zeros(mask.shape).masked_fill(~mask, lowest)
    return torch.where(mask, bias, lowest)


def blind_queries(mask: Tensor | None) -> Tensor | None:
    """Return which queries see no key, `(documents, heads or 1, queries or 1, 1)`, or None."""
    blind = None if mask is None else ~mask.any(-1, keepdim=True)
    # Asking a device would wait for it.
    asked = blind is not None and blind.device.type == "cpu"
    return None if asked and not bool(blind.any()) else blind


def _steps(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, max(1, count), step))


def _cut(term: Tensor | None, *parts: slice) -> Tensor | None:
    """The part of something that is broadcast: a dimension of one is for all."""
    if term is None:
        return None
    return term[tuple(part if term.shape[i] > 1 else slice(None) for i, part in enumerate(parts))]


def _cat(parts: list[Tensor], dimension: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dimension)


def column_weights(layout: Layout, request: ScoreRequest) -> Tensor:
    """Return how much each query counts in its document's score, `(tokens,)`, 1 in sum."""
    counted = request.counted
    weights = torch.ones_like(layout.segment_ids) if counted is None else counted
    weights = weights.float()
    totals = Ragged(weights, layout).sum().clamp(min=1)
    return weights / totals[layout.segment_ids]


def _column_scores(weights: Tensor, rows: Tensor, request: ScoreRequest, first: int) -> Tensor:
    """The scores of the keys from some rows of the matrix, `(documents, heads, keys)`.

    In float32 at least: in half precision, most tokens of a long document would share their score
    with others.
    """
    exact = torch.promote_types(weights.dtype, torch.float32)
    weights, rows = weights.to(exact), rows.to(exact)
    # (documents, 1, 1, queries) @ (documents, heads, queries, keys)
    score = _product(rows[:, None, None, :], weights)[:, :, 0]
    if request.diagonal:
        return score
    own = weights.diagonal(first, 2, 3)  # (documents, heads, queries that are keys)
    before, after = first, score.shape[2] - first - own.shape[2]
    return score - F.pad(own * rows[:, None, : own.shape[2]], (before, after))


def _product(one: Tensor, other: Tensor) -> Tensor:
    """A matrix product in the precision of its factors, under autocast too."""
    device = one.device.type
    # Not where there is nothing to turn off: exporters stumble over it.
    if not torch.is_autocast_enabled(device):
        return one @ other
    with torch.autocast(device, enabled=False):
        return one @ other
