"""MACs of a stock encoder on padded rows, from its configuration alone.

A padded batch computes every position of every row, so what it really does follows from shapes:
no hook, no counter, and no cost inside the clock. Families whose layers are built otherwise are not
counted rather than counted wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["FEED_FORWARD_MATRICES", "padded_macs"]

FEED_FORWARD_MATRICES = {
    "albert": 2,
    "bert": 2,
    "camembert": 2,
    "data2vec-text": 2,
    "distilbert": 2,
    "electra": 2,
    "ernie": 2,
    "esm": 2,
    "gte": 3,
    "modernbert": 3,
    "mpnet": 2,
    "nomic_bert": 3,
    "roberta": 2,
    "roberta-prelayernorm": 2,
    "xlm-roberta": 2,
    "xlm-roberta-xl": 2,
}
"""Matrices of `hidden_size * intermediate_size` per layer; a gated feed-forward has three."""


def padded_macs(config: Any, shapes: Iterable[tuple[int, int]]) -> float | None:
    """Count the MACs of the encoder's layers on padded batches.

    Per layer and row of n positions, with d hidden and i intermediate units and m feed-forward
    matrices: `(4 d² + m d i) n` for the projections and `2 d n²` for attention, a local attention
    pattern included, since the stock kernels compute the whole square and mask it. Embeddings,
    pooler and classifier are left out: they are the same for every contender, and small.

    Args:
        config: a transformers configuration.
        shapes: `(rows, padded length)` of each batch.

    Returns:
        The count, or None when the family is not in `FEED_FORWARD_MATRICES`.

    Example:
        >>> from transformers import BertConfig
        >>> config = BertConfig(hidden_size=8, intermediate_size=32, num_hidden_layers=2)
        >>> padded_macs(config, [(3, 10)]) == 2 * 3 * (12 * 8**2 * 10 + 2 * 8 * 10**2)
        True
    """
    matrices = FEED_FORWARD_MATRICES.get(config.model_type)
    if matrices is None:
        return None
    hidden = config.hidden_size
    # DistilBERT alone names it otherwise, and does not map the name.
    inner = getattr(config, "intermediate_size", None) or config.hidden_dim
    linear = 4 * hidden**2 + matrices * hidden * inner
    rows = sum(count * (linear * length + 2 * hidden * length**2) for count, length in shapes)
    return float(config.num_hidden_layers * rows)
