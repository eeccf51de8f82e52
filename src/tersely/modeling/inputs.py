"""From what transformers passes (padded tensors, or a flattened row) to one packed row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from tersely.backbones import Backbone
from tersely.errors import ModelError
from tersely.ragged import Layout


class PackedInputs(NamedTuple):
    """One row of tokens: ids and token types `(tokens,)`, and the documents' boundaries."""

    input_ids: Tensor
    token_type_ids: Tensor | None
    layout: Layout


def pack_inputs(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    boundaries: Tensor | None,
    lengths: Sequence[int] | None,
    backbone: Backbone,
) -> PackedInputs:
    """Pack a batch, and check it; arguments as those of the model's `forward`.

    Raises:
        ModelError: if there are no ids, a document is empty or too long for the encoder.
    """
    if input_ids is None:
        raise ModelError("expected input_ids, got none; tersely models read token ids only")
    types = token_type_ids if backbone.has_segments else None
    if boundaries is not None:
        if attention_mask is not None or input_ids.shape[0] != 1:
            raise ModelError(
                "a packed row is input_ids (1, tokens) with cu_seq_lens_q and no attention_mask, "
                f"got input_ids {tuple(input_ids.shape)}"
            )
        layout = _layout(boundaries, lengths)
        ids, types = input_ids[0], types if types is None else types[0]
    elif attention_mask is None:
        documents, length = input_ids.shape
        layout = Layout.from_lengths([length] * documents, input_ids.device)
        ids, types = input_ids.flatten(), types if types is None else types.flatten()
    else:
        mask = attention_mask.bool()
        layout = Layout.from_lengths(mask.sum(1))
        ids, types = input_ids[mask], types if types is None else types[mask]
    if layout.tokens != ids.shape[0]:
        raise ModelError(
            f"cu_seq_lens_q must end at the row's {ids.shape[0]} tokens, got {layout.tokens}"
        )
    if not layout.sizes or 0 in layout.sizes:
        number = layout.sizes.index(0) if layout.sizes else 0
        raise ModelError(f"every document needs at least one token, document {number} has none")
    most = backbone.longest_document
    if most is not None and layout.longest > most:
        raise ModelError(
            f"{backbone.encoder.config.model_type} takes documents of at most {most} tokens, got "
            f"one of {layout.longest}; truncate them, or use Classifier with long='windows'"
        )
    return PackedInputs(ids, types, layout)


def _layout(boundaries: Tensor, lengths: Sequence[int] | None) -> Layout:
    if lengths is None:
        if int(boundaries[0]) != 0 or bool((boundaries.diff() < 0).any()):
            raise ModelError(
                "cu_seq_lens_q must start with 0 and never fall, got "
                f"{boundaries[:8].tolist()}{' …' if len(boundaries) > 8 else ''}"
            )
    elif len(lengths) + 1 != len(boundaries):
        raise ModelError(
            f"lengths must hold a number for each of the {len(boundaries) - 1} documents of "
            f"cu_seq_lens_q, got {len(lengths)}"
        )
    return Layout(boundaries, lengths)
