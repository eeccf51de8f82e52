"""What scikit-learn asks of an estimator, kept without importing it: parameters, a score, tags.

So a classifier can stand at the end of a `Pipeline`, be cloned, and be cross-validated.
"""

import functools
import inspect
from typing import Any, Self

import numpy as np

from tersely.errors import DataError
from tersely.text import Documents
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.metrics import right_documents
from tersely.trained import TrainedModel


class Estimator(TrainedModel):
    """A model that remembers what its constructor was given."""

    problem_type: str | None
    _given: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's `clone` wants them."""
        return dict(self._given)

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor, for the next `fit`; a model that was trained is let go.

        Raises:
            DataError: for a name that the constructor does not have.
        """
        if not params:
            return self
        names = [name for name in inspect.signature(type(self)).parameters if name != "loading"]
        unknown = sorted(set(params) - set(names) - set(self._given))
        if unknown:
            raise DataError(
                f"{unknown[0]!r} is not a parameter; the parameters are {', '.join(names)}"
            )
        self.__dict__ = type(self)(**(self._given | params)).__dict__
        return self

    def score(self, texts: Any, labels: Any, sample_weight: Any = None) -> float:
        """Return the share of right answers; for a regression R², as scikit-learn scores.

        Of several labels at once, a document counts as right where all of them are.

        Args:
            texts: the documents, as for `predict`.
            labels: what was wanted, as for `fit`.
            sample_weight: how much each document counts, `(documents,)`.
        """
        documents = Documents.from_lists(texts, labels)
        logits, problem = self.logits(documents.texts), self.label_space.problem_type
        wanted = self.label_space.encode(documents.labels, unseen="skip")
        mean = functools.partial(np.average, axis=0, weights=sample_weight)
        if problem != REGRESSION:
            return float(mean(right_documents(logits, wanted, problem)))
        missed, spread = (np.square(wanted - each) for each in (logits[:, 0], mean(wanted)))
        return 1 - float(mean(missed) / mean(spread))

    def __sklearn_tags__(self) -> Any:
        """Return what kind of estimator this is: as trained, or as asked for before."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        problem = self.problem_type if self._runner is None else self.label_space.problem_type
        number, several = problem == REGRESSION, problem == MULTI_LABEL
        return Tags(
            estimator_type="regressor" if number else "classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=None if number else ClassifierTags(multi_label=several),
            regressor_tags=RegressorTags() if number else None,
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether there is a trained model."""
        return self._runner is not None
