"""The budgets that a request may ask for: one model at other shares of its plan.

A budget is what `tersely predict --budget` takes: MACs over those without any removal. Its
share is found once, on documents that stand for those to come, so that an answer depends on the
document and the budget, never on its companions. Budgets are rounded to hundredths: there are at
most 99, each a plan of a few numbers, and all of them run with the same weights.
"""

from __future__ import annotations

import logging
import math
import threading

from tersely.classifier import Classifier
from tersely.errors import PlanError
from tersely.export import made_up_texts
from tersely.modeling.budget import reachable_budgets, spread
from tersely.reduction import has_share
from tersely.text.encoding import EncodedDocuments

logger = logging.getLogger(__name__)

_MADE_UP, _GIVEN = 16, 64  # documents that are counted on


class Budgets:
    """A classifier at the budgets that were asked for so far.

    Making one counts which budgets the model reaches, in some runs over 64 of the documents, such
    as are to come. Without them it takes texts of random words, which will do where the number of
    tokens that stay follows from a document's length, and not where it follows from their scores.

    Attributes:
        range: the least and the most that can be asked for; None where there is one budget only.
        refusal: why there is one only, in half a sentence of the server's own: anybody may read it.
    """

    def __init__(self, classifier: Classifier, documents: EncodedDocuments | None = None) -> None:
        self._classifier = classifier
        self._found: dict[float, Classifier] = {}
        self._finding = threading.Lock()
        self.range: tuple[float, float] | None = None
        self.refusal = ""
        plan = classifier.plan
        if classifier.model is None:
            self.refusal = "the server runs an export, which has one budget"
        elif not has_share(plan) and not plan.is_adjustable:
            self.refusal = f"the plan {plan.name!r} has no share that could be set"
        else:
            self._count(documents)

    def _count(self, documents: EncodedDocuments | None) -> None:
        classifier = self._classifier
        if documents is None:
            texts = made_up_texts(classifier.tokenizer, classifier.limit, _MADE_UP)
            documents = classifier.encode(texts, tell=False)
        self._documents = documents.select(spread(len(documents), _GIVEN))
        try:
            least, most = reachable_budgets(
                classifier.torch_model(), self._documents, classifier.batch_tokens
            )
        except PlanError as error:
            logger.info("budgets cannot be set: %s", error)
            self.refusal = f"the plan {classifier.plan.name!r} cannot be counted against a full run"
            return
        # Inwards, so that both ends can be reached.
        least, most = max(math.ceil(least * 100), 1) / 100, min(math.floor(most * 100), 99) / 100
        if least <= most:
            self.range = least, most
        else:
            self.refusal = f"all shares of {classifier.plan.name!r} cost about the same"

    def at(self, budget: float) -> Classifier:
        """Return the classifier at a budget; a new one takes some runs over a few documents."""
        if self.range is None:
            raise PlanError(f"`budget` cannot be set: {self.refusal}")
        least, most = self.range
        rounded = round(budget, 2)
        if not least <= rounded <= most:
            raise PlanError(f"`budget` must be between {least:g} and {most:g}, got {budget:g}")
        if rounded not in self._found:  # those that are there wait for none that is sought
            with self._finding:
                if rounded not in self._found:
                    self._found[rounded] = self._classifier.with_budget(
                        rounded, self._documents, tell=False
                    )
        return self._found[rounded]
