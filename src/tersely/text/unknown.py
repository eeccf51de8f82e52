"""Documents of which a tokenizer knows nothing: they get a prediction, and are counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersely.text.encoding import EncodedDocuments

__all__ = ["count_unknown"]


def count_unknown(encoded: EncodedDocuments, tokenizer: Any) -> int:
    """Count the documents whose tokens are all unknown to the tokenizer; empty ones are not meant.

    Args:
        encoded: the documents.
        tokenizer: the tokenizer that encoded them; one of bytes knows everything.
    """
    if tokenizer.unk_token_id is None or not len(encoded):
        return 0
    specials = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    special = np.array(sorted(specials), dtype=np.int32)
    unknown = np.array([_is_unknown(w, special, tokenizer.unk_token_id) for w in encoded.windows])
    return int(np.logical_and.reduceat(unknown, encoded.starts).sum())


def _is_unknown(window: np.ndarray, special: np.ndarray, unknown: int) -> bool:
    # Nearly every document begins with a known word, so two comparisons decide.
    if not np.isin(window[:2], special).all() and not (window[:2] == unknown).any():
        return False
    text = window[~np.isin(window, special)]
    return len(text) > 0 and bool((text == unknown).all())
