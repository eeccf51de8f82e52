"""The attention function, registered with transformers under the name `tersely`.

transformers' encoders look their attention up by name and pass extra keyword arguments along, so
their own blocks run on a packed row unchanged. Called without a packing, the function does what
`sdpa` does, so that a model which has it set still works on padded batches.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tersely.attention import loop, padded, varlen
from tersely.attention.packing import Packing, ScoreRequest
from tersely.ragged import Layout

NAME = "tersely"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    packing: Packing | None = None,
    relative_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention of each packed document over its own keys.

    Arguments are those of transformers' attention functions, with states `(1, heads, tokens, size)`
    and no mask for a packed row: `packing` says who sees whom, or the `cu_seq_lens_q` that flash
    attention takes. `relative_bias` is what an encoder adds by distance, as `Packing.relative`.
    Returns `(1, tokens, heads, size)`, and the scores `(keys, heads or 1)` where they were asked.
    """
    if packing is None and kwargs.get("cu_seq_lens_q") is not None:
        packing = Packing(Layout(kwargs["cu_seq_lens_q"]))
    if packing is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=False, **kwargs
        )
    if attention_mask is not None or query.shape[0] != 1:
        raise ValueError(
            "a packed batch must be one row without an attention mask, got "
            f"{query.shape[0]} rows and {'a' if attention_mask is not None else 'no'} mask"
        )
    packing.calls += 1
    if packing.dropout is not None:
        dropout = packing.dropout if module.training else 0.0
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    # (tokens, heads, size): for the encoders' own projections this is a view.
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    relative = packing.relative if relative_bias is None else relative_bias
    packing = replace(packing, relative=relative, window=sliding_window)
    asked = packing.scores
    if asked is not None and asked.kind == "keys":
        asked, packing = k.detach().mean(1), replace(packing, scores=None)
    if packing.weights is not None:
        q, k, v = _weighted(q, k, v, packing.weights, scaling)
    if packing.keys is not None:
        k, v = packing.keys.take(k), packing.keys.take(v)
    context, scores = _choose(q, packing, dropout)(q, k, v, packing, scaling, dropout)
    context = context[None, ..., : query.shape[-1]]
    return context, asked if scores is None else _finish(scores, v, asked)


def _weighted(
    query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One more channel, whose product is the logarithm of a key's weight in every head."""
    # Kernels want values of the same size; those of CUDA devices heads of a multiple of eight.
    more = 1 if query.device.type == "cpu" else 8 - query.shape[2] % 8
    one = (*key.shape[:2], 1)
    ones = query.new_full((*query.shape[:2], 1), 1 / scaling)
    logs = weights.to(key.dtype).log()[:, None, None].expand(one)
    wide = ((query, ones), (key, logs), (value, value.new_zeros(one)))
    return tuple(F.pad(torch.cat(parts, 2), (0, more - 1)) for parts in wide)


def _finish(scores: Tensor, values: Tensor, request: ScoreRequest) -> Tensor:
    """What is left to do with the scores of each head, `(keys, heads)`, for all back ends alike."""
    if not request.differentiable:
        scores, values = scores.detach(), values.detach()
    if request.values:
        scores = scores * values.norm(dim=-1)
    return scores if request.per_head else scores.mean(1, keepdim=True)


def _choose(query: Tensor, packing: Packing, dropout: float) -> Any:
    """The function of the back end that the packing names, or that fits the call."""
    name = packing.backend
    if name == "dense" or (name == "auto" and packing.layout.symbolic):
        return padded.attend_dense
    if name == "auto" and query.device.type == "cpu":
        name = "loop"
    elif name == "auto":
        name = "varlen" if varlen.fits(query, packing, dropout) else "padded"
    return {"loop": loop, "padded": padded, "varlen": varlen}[name].attend


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
