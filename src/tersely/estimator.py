"""What scikit-learn asks of an estimator: parameters to copy it by, tags, and a score.

It follows the conventions without importing scikit-learn, which is not needed to train or to
predict. So a classifier can stand at the end of a `Pipeline`, be cloned, and be cross-validated.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tersely.errors import DataError
from tersely.text.documents import as_list

__all__ = ["Estimator"]


class Estimator:
    """The conventions of scikit-learn's estimators, for a class that predicts.

    The class calls `_remember` with the arguments of its constructor.
    """

    _given: dict[str, Any]

    def _remember(self, **given: Any) -> None:
        """Keep the constructor's arguments as they came: copies must hold the same objects."""
        self._given = given

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn's `clone` wants them.

        Args:
            deep: taken for scikit-learn's sake; no argument is an estimator of its own.
        """
        return dict(self._given)

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor, for the next `fit`; a model that was trained is let go.

        Raises:
            DataError: for a name that the constructor does not have.

        Example:
            >>> from tersely import Classifier
            >>> Classifier().set_params(method="dense", max_length=128).get_params()["method"]
            'dense'
        """
        if not params:
            return self
        known = inspect.signature(type(self)).parameters
        names = [name for name, each in known.items() if each.kind is not each.VAR_KEYWORD]
        unknown = sorted(set(params) - set(names) - set(self._given))
        if unknown:
            raise DataError(
                f"{unknown[0]!r} is not a parameter; the parameters are {', '.join(names)}"
            )
        fresh = type(self)(**(self._given | params))
        self.__dict__.clear()
        self.__dict__.update(fresh.__dict__)
        return self

    def score(self, texts: Any, labels: Any) -> float:
        """The share of right answers; for a regression R², as scikit-learn's estimators score.

        Of several labels at once, a document counts as right where all of them are.

        Args:
            texts: the documents, as for `predict`.
            labels: what was wanted, as for `fit`.
        """
        wanted = as_list(labels, "the labels")
        predicted = self.predict(texts)
        if len(wanted) != len(predicted) or not wanted:
            raise DataError(
                f"expected a label for each of the {len(predicted):,} documents, at least one, got "
                f"{len(wanted):,}"
            )
        if self._estimator_type == "regressor":
            return _explained(np.array(predicted, dtype=float), np.array(wanted, dtype=float))
        return float(np.mean([_same(p, w) for p, w in zip(predicted, wanted, strict=True)]))

    @property
    def _estimator_type(self) -> str:
        """What scikit-learn before 1.6 asks for."""
        return "regressor" if self._kind() == "regression" else "classifier"

    def _kind(self) -> str | None:
        """The type of the problem: as trained, or as asked for before."""
        return self._given.get("problem_type") if self.model is None else self._problem()

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn from 1.6 on asks for."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        kind = self._estimator_type
        several = self._kind() == "multi_label_classification"
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_label=several) if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a trained model."""
        return self.model is not None


def _same(predicted: str | list[str], wanted: Any) -> bool:
    if isinstance(predicted, list):
        return isinstance(wanted, Sequence) and set(predicted) == set(map(str, wanted))
    return predicted == str(wanted)


def _explained(predicted: np.ndarray, wanted: np.ndarray) -> float:
    rest = float(((wanted - predicted) ** 2).sum())
    whole = float(((wanted - wanted.mean()) ** 2).sum())
    if whole == 0:
        return 1.0 if rest == 0 else 0.0
    return 1 - rest / whole
