"""A validation split made from the training data, where none is given.

The split depends on the documents, the fraction and the seed alone, and both parts keep the
documents' order.
"""

from __future__ import annotations

import warnings
from collections import Counter

from tersely.errors import DataError, TerselyWarning, name_all, require
from tersely.text.documents import Documents


def split_validation(
    documents: Documents, *, fraction: float = 0.1, seed: int = 0
) -> tuple[Documents, Documents]:
    """Split documents into training and validation documents.

    Single labels are stratified: each class has about its share in both parts. A class of one
    document stays in training, and validation grows to at least one document a class where it
    would be smaller; both are warned about. Other documents are shuffled and cut.

    Args:
        documents: at least two.
        fraction: the share of validation documents, between 0 and 1; 0.1 by default.
        seed: the same seed gives the same split; 0 by default.

    Returns:
        The training and the validation documents; together, every document once.

    Raises:
        DataError: if the fraction is not between 0 and 1 or there is nothing to split.
        MissingExtraError: if scikit-learn is not installed.

    Example:
        >>> documents = Documents.from_lists(list("abcdefgh"), ["x", "y"] * 4)
        >>> training, validation = split_validation(documents, fraction=0.25)
        >>> len(training), sorted(validation.labels)
        (6, ['x', 'y'])
    """
    training, validation = split_numbers(documents, fraction=fraction, seed=seed)
    return documents.select(training), documents.select(validation)


def split_numbers(
    documents: Documents, *, fraction: float = 0.1, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Return the numbers of the documents that `split_validation` puts in each part, ascending."""
    if not 0 < fraction < 1:
        raise DataError(f"the validation fraction must be between 0 and 1, not {fraction}")
    labels = documents.labels
    candidates, strata, classes = list(range(len(documents))), None, 1
    if labels and isinstance(labels[0], str):
        counts = Counter(labels)
        rare = sorted(label for label, count in counts.items() if count == 1)
        if rare:
            warnings.warn(
                f"{len(rare)} of {len(counts)} classes have one document only, which stays in "
                f"training: {name_all(rare, limit=5)}; validation does not measure them",
                TerselyWarning,
                stacklevel=2,
            )
        candidates = [index for index in candidates if counts[labels[index]] > 1]
        strata = [labels[index] for index in candidates]
        classes = len(counts) - len(rare)
    if len(candidates) < 2:
        raise DataError(
            f"{documents.source} has {len(documents)} documents, too few of a class to split off "
            "validation documents; give a validation file or more documents"
        )
    wanted = max(round(len(candidates) * fraction), 1)
    # Every class has two documents or more here, so one a class fits on both sides.
    count = min(max(wanted, classes), len(candidates) - classes)
    if count != wanted:
        warnings.warn(
            f"validation holds {count} documents instead of {wanted}, so that both parts have "
            f"room for each of {classes} classes",
            TerselyWarning,
            stacklevel=2,
        )
    _, validation = require("sklearn.model_selection", "train").train_test_split(
        candidates, test_size=count, random_state=seed, stratify=strata
    )
    chosen = set(validation)
    training = [index for index in range(len(documents)) if index not in chosen]
    return training, sorted(validation)
