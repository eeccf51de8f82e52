"""Whether an export decides as its original does: on documents of the user's, or on made-up ones.

Two runtimes add numbers up in different orders, so logits differ in their last digits, and a token
whose score is on the edge may stay in one and go in the other. What must not differ is the label.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tersely.text.metrics import predict_from_logits

__all__ = ["Check", "compare_logits", "made_up_texts"]

_CLOSE = 0.01  # numbers of a regression agree within this, and this share of the original


@dataclass(frozen=True)
class Check:
    """An export against its original, on the same documents.

    Attributes:
        documents: how many.
        agreement: share of them with the same labels; for a regression, with numbers that differ by
            at most 0.01 and 1 %.
        largest_difference: of any logit.
        mean_difference: of all logits.
        made_up: whether the documents are random words of the tokenizer's vocabulary.
    """

    documents: int
    agreement: float
    largest_difference: float
    mean_difference: float
    made_up: bool

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON writes them."""
        return asdict(self)


def compare_logits(
    original: np.ndarray, exported: np.ndarray, problem_type: str, *, made_up: bool = False
) -> Check:
    """Compare logits `(documents, labels)` of the same documents.

    Example:
        >>> one, other = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.5, 1.0], [0.0, 0.1]])
        >>> compare_logits(one, other, "single_label_classification").agreement
        0.5
    """
    gaps = np.abs(original.astype(np.float64) - exported.astype(np.float64))
    wanted, found = (predict_from_logits(each, problem_type) for each in (original, exported))
    if problem_type == "regression":
        same = gaps <= _CLOSE + _CLOSE * np.abs(original)
    else:
        same = wanted == found
    agreed = same.reshape(len(same), -1).all(axis=1)
    return Check(
        documents=len(original),
        agreement=float(agreed.mean()),
        largest_difference=float(gaps.max()),
        mean_difference=float(gaps.mean()),
        made_up=made_up,
    )


def made_up_texts(tokenizer: Any, longest: int, count: int = 32) -> list[str]:
    """Texts of random words of the vocabulary, from the shortest to the longest; always the same.

    Args:
        tokenizer: the model's.
        longest: tokens of a document at most.
        count: how many texts.
    """
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha()) or ["a"]
    chance = random.Random(0)
    lengths = np.geomspace(1, max(1, longest - 2), count).round().astype(int)
    return [" ".join(chance.choices(words, k=int(length))) for length in lengths]
