"""How to train on so many documents: the settings that nobody gave.

Fine-tuning wants some hundred steps at least, however few the documents, and steps of a dozen
documents rather than of as many as fit; with many documents, few epochs. So far the numbers are
what is usual for encoders of this size, not yet the outcome of the search that
`benchmarks/recipe.py` makes on four data sets at three sizes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tersely.errors import TrainingError, name_all
from tersely.text.labels import as_number
from tersely.training.settings import TrainingSettings

VERSION = 1
"""Of the rule; results that were trained by another one are not mixed with ours."""


def recipe(documents: int, width: int, labels: np.ndarray) -> dict[str, Any]:
    """Return the settings for so many documents, an encoder of this hidden size, and these labels.

    They are class numbers `(documents,)`, or what else is learned.
    """
    return {
        # 15 at 300 documents, 6 at 1,000, 3 at 3,000: some 280 to 560 steps.
        "epochs": float(round(min(20, 2 + 4000 / documents))),
        # transformers' default at width 768, 2e-4 at 384: narrow encoders take larger steps.
        "learning_rate": min(5e-4, 5e-5 * (768 / width) ** 2),
        "batch_documents": 16,
        "head_factor": 3.0,
        "layer_decay": 0.9,
        "dropout": 0.1,
        "class_weights": "sqrt" if labels.ndim == 1 and labels.dtype.kind in "iu" else "none",
    }


def with_recipe(settings: TrainingSettings, labels: np.ndarray, width: int) -> TrainingSettings:
    """Fill what a user left open, by the documents' labels `(documents, …)` and the width."""
    rule = recipe(len(labels), width, labels)
    return replace(settings, **{n: v for n, v in rule.items() if getattr(settings, n) is None})


def document_weights(labels: np.ndarray, names: Sequence[str], kind: str) -> np.ndarray | None:
    """Return how much each document counts in the loss, `(documents,)` of mean 1; None for 1 each.

    `balanced` is scikit-learn's: every class weighs the same; `sqrt` goes half of the way. Numbers
    such as `spam=3,news=1` are for the classes of these names, in the order of `labels`.

    Raises:
        TrainingError: for labels that are no classes, and numbers that are not theirs.

    Example:
        >>> document_weights(np.array([0, 0, 0, 1]), ["a", "b"], "balanced")
        array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    if kind == "none":
        return None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise TrainingError(
            f"class_weights must be none for several labels a document or a regression, got {kind}"
        )
    rarity = 1 / np.maximum(np.bincount(labels, minlength=len(names)), 1)
    weights = {"balanced": rarity, "sqrt": np.sqrt(rarity)}.get(kind)
    if weights is None:
        weights = _given_weights(kind, names)
    weights = weights[labels]
    return weights / weights.mean()


def _given_weights(text: str, names: Sequence[str]) -> np.ndarray:
    """Read one number above 0 for each class that is named, `(classes,)`; 1 for the others."""
    weights = dict.fromkeys(names, 1.0)
    for pair in text.split(","):
        name, _, number = pair.rpartition("=")
        weight = as_number(number) or 0.0
        if name.strip() not in weights or not 0 < weight < np.inf:
            raise TrainingError(
                f"class_weights must be numbers above 0 of the classes {name_all(names)}, such as "
                f"{names[0]}=2, got {pair!r}"
            )
        weights[name.strip()] = weight
    return np.array(list(weights.values()))
