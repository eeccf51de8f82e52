"""Packed attention on the CPU: a plain loop over runs of documents with equal lengths.

On CPUs a loop over the documents beats masks, FlexAttention and nested tensors, and neighbours of
equal length go in one call, as a view: so it pays to sort a batch by length. Each run is one call
of torch's fused kernel, which keeps no matrix, or an explicit matrix where scores are wanted, and
without gradients also where that is quicker. Where a window or a pattern leaves no more than a
band, what lies outside is skipped (see `banded`).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from tersely.attention import banded, softmax
from tersely.attention.packing import Packing
from tersely.ragged.layout import Run

_EXACT = (torch.float32, torch.float64)
# From this length on the fused kernel is the faster one without gradients too, where nothing is
# hidden: the attention of MiniLM-L6's block (12 heads of 32) on 4,000 tokens takes 13 ms explicit
# and 16 ms fused in documents of 155 tokens, 13 and 13 in ones of 224, 22 and 19 in ones of 340, 27
# and 23 in ones of 512 (two Skylake cores, 2026-11-23); with a mask fused takes twice as long.
_FUSED_FROM = 224


def attend(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Compute attention of each document over its own keys, as every back end does.

    Queries are `(tokens, heads, size)`, the keys and values that are left `(keys, heads, size)`.
    Returns the context, as `query`, and where they are wanted the scores, `(keys, heads)`.
    """
    request = packing.scores
    weights = None if request is None else softmax.column_weights(packing.layout, request)
    exact = query.dtype in _EXACT and not dropout
    # Nothing to keep for a backward pass.
    in_place = not torch.is_grad_enabled() and not dropout
    context = torch.empty_like(query, memory_format=torch.contiguous_format) if in_place else None
    workspace = softmax.Workspace(query.dtype)
    outputs: list[Tensor] = []
    scores: list[Tensor] = []
    for run, q, k, v in _rectangles(query, key, value, packing):
        rows = None if weights is None else weights[run.tokens].view(run.documents, -1)
        out = score = None
        if context is not None:
            out = context[run.tokens].unflatten(0, (run.documents, -1)).transpose(1, 2)
        band = _band(run, packing) if exact else None
        if band is not None:
            masks = _masks(run, packing, band)
            done = banded.attend(q, k, v, band, masks, scaling, workspace, out)
            if not packing.pairs:
                sizes = zip(packing.layout.sizes, packing.key_layout.sizes, strict=True)
                packing.pairs.extend(queries * keys for queries, keys in sizes)
            for number in run.numbers:
                packing.pairs[number] = banded.pairs(run.length, band)
        else:
            shape = (run.documents, run.key_length)
            mask, bias = packing.terms(
                lambda run=run: _rows(run, packing),
                lambda places, run=run, shape=shape: places[run.keys].unflatten(0, shape),
            )
            plain = mask is None and bias is None
            # A type whose sums need a wider one is left to the fused kernel, where that will do.
            quicker = in_place and exact and (not plain or run.length < _FUSED_FROM)
            if rows is not None or quicker:
                options = {"scaling": scaling, "dropout": dropout, "out": out}
                options["workspace"] = workspace if in_place else None
                done, score = softmax.attend(
                    q, k, v, mask=mask, bias=bias, rows=rows, request=request, **options
                )
            else:
                done = softmax.attend_fused(q, k, v, mask, bias, scaling, dropout)
        if out is None:
            outputs.append(done.transpose(1, 2).flatten(0, 1))
        elif done is not out:
            out.copy_(done)
        if score is not None:
            scores.append(score.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs) if context is None else context, torch.cat(scores) if scores else None


def _rectangles(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing
) -> Iterator[tuple[Run, Tensor, Tensor, Tensor]]:
    """Each run with its queries, keys and values, views `(documents, heads, length, size)`."""
    layout = packing.layout
    runs = layout.runs if packing.keys is None else layout.runs_with(packing.key_layout)
    # One `split` each: its gradient is one concatenation, that of slices a row for each.
    queries = query.split([run.documents * run.length for run in runs])
    sizes = [run.documents * run.key_length for run in runs]
    for run, *states in zip(runs, queries, key.split(sizes), value.split(sizes), strict=True):
        yield run, *(part.unflatten(0, (run.documents, -1)).transpose(1, 2) for part in states)


def _rows(run: Run, packing: Packing) -> Tensor:
    """Row numbers of a run's queries, `(documents, 1, queries, 1)`."""
    rows = torch.arange(run.start, run.tokens.stop, device=packing.layout.device)
    return rows.view(run.documents, 1, run.length, 1)


def _band(run: Run, packing: Packing) -> banded.Reach | None:
    # Scores need the whole matrix, and keys that were gathered are not in the queries' places.
    if packing.scores is not None or packing.keys is not None or packing.biased:
        return None
    return banded.reach_of(packing, run.numbers, run.tokens)


def _masks(run: Run, packing: Packing, reach: banded.Reach) -> banded.MaskOf:
    if reach.plain:
        return lambda piece: banded.shape_mask(piece, reach, packing.layout.device)
    rows = _rows(run, packing)

    def seen(piece: banded.Piece) -> Tensor | None:
        keys = torch.cat([rows[:, :, part] for part in piece.keys], dim=2)
        return packing.mask(rows[:, :, piece.queries], keys.transpose(2, 3))

    return seen
