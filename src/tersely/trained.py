"""A trained model with its tokenizer, and what it answers: logits, labels, figures, other budgets.

`Classifier` is one of these that can also be trained, loaded and saved. Where the model came from,
training, a directory or an exported graph, is not known here.

    texts --encode--> ids --forward--> logits --decide--> labels
"""

import copy
import functools
import operator
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np

from tersely._io import Progress, counting, resolve_device, torch_threads
from tersely.card import Evaluation
from tersely.cascade import Review, to_logits
from tersely.certificates import Audit, Certificates
from tersely.errors import DataError, ModelError, PlanError, name_all, warn
from tersely.modeling import TerselyConfig, TerselyForSequenceClassification
from tersely.modeling.budget import plan_for_budget, spread
from tersely.modeling.cascading import at_limit, linear_log_probabilities
from tersely.modeling.inference import Forward, TorchRunner
from tersely.reduction import Plan, name_untrained, with_share
from tersely.text import Documents, LabelSpace
from tersely.text.columns import as_texts
from tersely.text.encoding import EncodedDocuments, encode, longest_window
from tersely.text.labels import MULTI_LABEL, REGRESSION
from tersely.text.likeness import choose_diverse, piece_vectors, tell_alike
from tersely.text.metrics import (
    confidences,
    evaluate_logits,
    predict_from_logits,
    report_classes,
    right_documents,
    scores_from_logits,
    verdict,
)


class TrainedModel:
    """A model, once there is one, with its tokenizer, its plan and the way it is run.

    `source` is where the model comes from, for messages.
    """

    plan: Plan

    def __init__(
        self, source: str, device: str, batch_tokens: int = 4096, threads: int | None = None
    ) -> None:
        self.source = source
        self.device = resolve_device(device)
        self.batch_tokens, self.threads = batch_tokens, threads
        self.model: TerselyForSequenceClassification | None = None
        self.tokenizer: Any = None
        self._runner: TorchRunner | None = None
        self._trained: Plan | None = None
        self._piece_scores: tuple[Any, np.ndarray] | None = None

    def __repr__(self) -> str:
        """Say what it is, and what it tells apart once it is trained."""
        state = "not trained yet"
        if self._runner is not None:
            labels = name_all(self.classes_, limit=4)
            state = f"{labels}; at most {self.limit:,} tokens, {self.dtype_name} on {self.device}"
        return f"<{type(self).__name__} {self.source} ({self.plan.name}): {state}>"

    def adopt(self, model: TerselyForSequenceClassification, tokenizer: Any) -> None:
        """Take over a model with its tokenizer, and run it on this device."""
        self.model = model.to(self.device).eval()
        self._runner, self._saved_long = TorchRunner(self.model), None
        self.tokenizer = tokenizer
        self.plan = self._trained = model.config.reduction_plan()

    def with_model(self, model: TerselyForSequenceClassification) -> Self:
        """Return the same with another model on these weights; this one stays as it is."""
        twin = copy.copy(self)
        twin.adopt(model, self.tokenizer)
        return twin

    def _ready(self) -> TorchRunner:
        if self._runner is None:
            raise ModelError(
                "this classifier is not trained yet; call fit, or use Classifier.from_pretrained"
            )
        return self._runner

    def torch_model(self) -> TerselyForSequenceClassification:
        """Return the trained model, if there is one and no export in its place."""
        self._ready()
        if self.model is None:
            raise ModelError(
                f"{self.source} is an export, which holds no model of torch; use the model that it "
                "was made from"
            )
        return self.model

    @property
    def model_config(self) -> TerselyConfig:
        """The configuration of the trained model."""
        return self._ready().config

    @property
    def dtype_name(self) -> str:
        """The type of the weights, such as `"float32"`."""
        return self._ready().dtype_name

    @property
    def limit(self) -> int:
        """Most tokens of a document or window, special tokens included."""
        runner = self._ready()
        return longest_window(runner.config.max_length, runner.longest_document)

    @property
    def certificates(self) -> Certificates | None:
        """What was proven of the model's cascade; None where it has none."""
        cascade = self.model_config.cascade_stages()
        return None if cascade is None else cascade.certificates

    @property
    def review(self) -> Review | None:
        """From which confidence on answers count, where a limit on their error is in use."""
        cascade = self.model_config.cascade_stages()
        return None if cascade is None else cascade.reviewing

    def set_apart(self, forward: Forward) -> np.ndarray | None:
        """Return which answers of a pass are too unsure to count, `(documents,)` bool.

        Of the others the error is certified. None where no limit on the error is in use.

        Example:
            >>> sure.set_apart(sure.forward(sure.encode(texts)))  # doctest: +SKIP
        """
        review = self.review
        return None if review is None else forward.confidence <= review.path[review.point]

    def new_audit(self) -> Audit:
        """Return an audit, still empty, of the limit that is certified for the model."""
        cascade = self.model_config.cascade_stages()
        if cascade is None:
            raise ModelError(
                f"an audit checks early answers, but {self.source} has no cascade, so there "
                "are none; leave the audit out"
            )
        return cascade.audit()

    def watch(
        self, audit: Audit, encoded: EncodedDocuments, forward: Forward, drawn: np.ndarray
    ) -> None:
        """Count in an audit the documents of a pass that were drawn for it, `(documents,)` bool.

        They have to be drawn without regard to the answers. Those that were answered early are run
        once more, by the reference with its stacking, as the certificate has it.
        """
        problem, differing = self.label_space.problem_type, 0
        last = len(self.model_config.cascade_stages().stages) - 1
        if len(early := np.flatnonzero(drawn & (forward.stages < last))):
            with torch_threads(self.threads):
                whole = at_limit(self._ready() if self.model is None else self.model, 0)
                whole = whole if self.model is None else TorchRunner(whole)
                again = whole.run(encoded.select(early), self.batch_tokens).logits
            wanted = predict_from_logits(again, problem)
            differing = int((~right_documents(forward.logits[early], wanted, problem)).sum())
        audit.audited += int(drawn.sum())
        audit.differing += differing

    @property
    def classes_(self) -> np.ndarray:
        """The labels in the order of the logits, `(labels,)`: names, or int as `fit` got them."""
        kind = int if self.model_config.whole_labels else object
        return np.array(self.label_space.names, dtype=kind)

    @property
    def label_space(self) -> LabelSpace:
        """The labels with the type of the problem."""
        config = self.model_config
        names = tuple(config.id2label[number] for number in range(len(config.id2label)))
        kind = "regression" if config.num_labels == 1 else "single_label_classification"
        return LabelSpace(names, config.problem_type or kind)

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        tell: bool = True,
        whole: bool = False,
        scores: Sequence[np.ndarray] | None = None,
        progress: Progress = None,
    ) -> EncodedDocuments:
        """Tokenise documents as this model reads them, or `whole`; `tell` warns of long ones.

        `scores` are what pieces are worth in each document, for `long="select"` and sentences; None
        for `piece_scores`. `progress` is called with how many of how many are done.
        """
        config = self.model_config
        encoded = encode(
            self.tokenizer,
            *as_texts(texts, pairs),
            max_length=sys.maxsize if whole else self.limit,
            policy="truncate" if whole else config.long,
            overlap=config.window_overlap,
            values=lambda number, ids: self.token_values(ids, scores and scores[number]),
            progress=progress,
        )
        if tell:
            self._tell(encoded)
        return encoded

    def token_values(self, ids: Sequence[int], scores: np.ndarray | None = None) -> np.ndarray:
        """Return what the tokens of a document are worth, `(tokens,)`, where the best are read.

        `scores` are those of pieces, `(vocabulary,)`; None for `piece_scores`.
        """
        values = (self.piece_scores() if scores is None else scores)[ids]
        sentences = self.model_config.long == "select-sentence"
        return self._ready().linear.sentence_means(ids, values) if sentences else values

    def piece_scores(self) -> np.ndarray:
        """Return what each piece is worth to the linear stage, `(vocabulary,)`; made once."""
        stage = self._ready().linear
        if stage is None:
            why = f"needs a linear stage, and {self.source} has none; use another policy"
            raise ModelError(f"long={self.model_config.long!r} {why}, or train with this one")
        if self._piece_scores is None or self._piece_scores[0] is not stage:
            self._piece_scores = stage, stage.piece_scores()
        return self._piece_scores[1]

    def _tell(self, *parts: EncodedDocuments) -> None:
        """Warn, once for all parts, of documents that are too long or that nothing is known of."""
        report = functools.reduce(operator.add, (part.report for part in parts))
        told = report.sentences()
        if report.affected and report.policy == "windows":
            sizes = np.concatenate([part.sizes for part in parts])
            ratio = sizes.sum() / np.minimum(sizes, report.max_length).sum()
            told[0] += f", at {ratio:.1f} times the tokens of their beginnings alone"
        if report.affected and self._saved_long not in (None, report.policy):
            told[0] += f"; the model was saved to read them by {self._saved_long!r}"
        for said in told:
            warn(said, stacklevel=3)

    def _tell_limit(self) -> None:
        """Warn if more tokens of a document were asked for than this model can take."""
        asked, limit = self.model_config.max_length, self.limit
        if asked is not None and asked > limit:
            warn(
                f"max_length is {asked:,}, but this model takes at most {limit:,} tokens; "
                f"{limit:,} is used",
                stacklevel=3,
            )

    def forward(
        self, encoded: EncodedDocuments, progress: Callable[[int], None] | None = None
    ) -> Forward:
        """Run the model over encoded documents: logits, and what they cost.

        `progress` is called with how many more documents are done.
        """
        with torch_threads(self.threads):
            return self._ready().run(encoded, self.batch_tokens, progress)

    def logits(
        self, texts: Sequence[str] | EncodedDocuments, pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return logits `(documents, labels)` float32, in the documents' order."""
        encoded = texts if isinstance(texts, EncodedDocuments) else self.encode(texts, pairs)
        return self.forward(encoded).logits

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits `(documents, labels)` into probabilities of the same shape."""
        problem = self.label_space.problem_type
        if problem == "regression":
            raise ModelError("a regression model has no probabilities; use predict")
        return scores_from_logits(logits, problem)

    def decide(self, logits: np.ndarray) -> list[str] | list[list[str]] | list[float]:
        """Turn logits `(documents, labels)` into labels, which are called by their names."""
        names, problem = self.label_space.names, self.label_space.problem_type
        predicted = predict_from_logits(logits, problem)
        if problem == REGRESSION:
            return predicted[:, 0].tolist()
        if problem == MULTI_LABEL:
            return [[names[i] for i in np.flatnonzero(row)] for row in predicted]
        return [names[number] for number in predicted]

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return probabilities `(documents, labels)`: a softmax, or a sigmoid for each of several.

        Raises:
            ModelError: for a regression model, which has none.
        """
        return self.probabilities(self.logits(texts, pairs))

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray | list[list[str]]:
        """Return a label or a number for each document, `(documents,)`.

        Where several labels may hold, it is a list of lists of labels, as `fit` takes them.
        """
        decided, problem = self.decide(self.logits(texts, pairs)), self.label_space.problem_type
        if problem == MULTI_LABEL:
            return decided
        return np.array(decided, dtype=float if problem == REGRESSION else self.classes_.dtype)

    def evaluate(
        self,
        documents: Documents,
        progress: Progress = None,
        *,
        train: Documents | None = None,
    ) -> Evaluation:
        """Measure accuracy and F1 on labelled documents, or the errors of a regression.

        Labels that training never saw are counted in a warning, and as errors in the figures; with
        the documents that were trained on, `train`, another names those that say nearly the same.

        Returns:
            The metrics by name, and how each class fared (see `tersely.text.metrics.ClassReport`);
            `save` takes it for the card.

        Raises:
            DataError: if the documents have no labels, or none that the model knows.
        """
        if not documents.labels:
            raise DataError(f"{documents.source} has no labels to evaluate against; give some")
        labels = self.label_space.encode(documents.labels, unseen="skip")
        encoded = self.encode(documents.texts, documents.pairs, tell=False, progress=progress)
        begun, told = perf_counter(), counting(progress, "evaluating", len(encoded))
        forward = self.forward(encoded, told)
        seconds = perf_counter() - begun
        self._tell(encoded)
        if train is not None:
            known = self.encode(train.texts, train.pairs, tell=False, progress=progress)
            what = f"documents of {documents.source}"
            tell_alike(known, encoded, self.tokenizer, what, rows=True)
        space, logits = self.label_space, forward.logits
        judged = logits, labels, space.names, space.problem_type
        stage = None if self.model_config.cascade is None else self._ready().linear
        beside: tuple[Any, ...] = ()
        if stage is not None:
            begun = perf_counter()
            found = linear_log_probabilities(stage, encoded).cpu()
            times = seconds / (perf_counter() - begun)
            beside = to_logits(found, space.problem_type == MULTI_LABEL).numpy(), times
        about: dict[str, Any] = {"verdict": verdict(*judged, *beside)}
        if space.problem_type != REGRESSION:
            about["classes"] = report_classes(*judged)
        apart = self.set_apart(forward)
        metrics = evaluate_logits(logits, labels, space.problem_type)
        figures = (metrics, encoded.tokens, forward.macs)
        source = Path(documents.source).name
        return Evaluation(source, len(documents), *figures, logits=logits, apart=apart, **about)

    def alone(self) -> Self:
        """Return the encoder of a cascade by itself: no stages, and nothing added to what it says.

        Weights are shared; a classifier without a cascade is returned as it is.
        """
        if self.model is None or self.model.cascade is None:
            return self
        return self.with_model(self.model.alone())

    def suggest(
        self,
        documents: Sequence[str] | EncodedDocuments,
        count: int = 50,
        *,
        forward: Forward | None = None,
    ) -> list[int]:
        """Choose which documents to label next: those in doubt that are unlike each other.

        The doubt is 1 less the probability of the label, of several the least sure one's, and the
        likeness that of word pieces: see `tersely.text.likeness.choose_diverse`.

        Args:
            documents: texts without labels.
            count: how many to choose; fewer come where the others say nothing new.
            forward: what `forward` gave for them, if that is known.

        Returns:
            Their numbers, counted from 0, the most useful first.

        Raises:
            DataError: for a regression, which is never in doubt.

        Example:
            >>> [texts[n] for n in classifier.suggest(texts, 10)]  # doctest: +SKIP
        """
        given = isinstance(documents, EncodedDocuments)
        encoded = documents if given else self.encode(documents)
        forward = forward or self.forward(encoded)
        vectors = piece_vectors(encoded, self.tokenizer.all_special_ids)
        holds_text = np.diff(vectors.indptr) > 0
        doubt = 1 - confidences(forward.logits, self.label_space.problem_type)
        return choose_diverse(doubt * holds_text, vectors, count)

    def with_options(self, **shares: float) -> Self:
        """Return this trained classifier at another share of its plan, such as `keep=0.5`.

        The weights are shared and this one stays as it is, so that threads may each use a budget of
        their own. A model of the method `lat` is trained for it; others lose accuracy away from the
        share that they were trained with, which is warned about.

        Args:
            **shares: `keep`, `ratio` or `threshold`, whichever the plan has.

        Raises:
            PlanError: if the plan has no such share, or the value is out of range.

        Example:
            >>> classifier.with_options(keep=0.9).predict(["a text"])  # doctest: +SKIP
        """
        return self._at(with_share(self.torch_model().config.reduction_plan(), **shares))

    def with_budget(
        self, budget: float, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> Self:
        """Return this trained classifier at the share of its plan that reaches a budget.

        Args:
            budget: its MACs ÷ those without any removal, between 0 and 1.
            texts: such as it is meant for; the MACs are counted on 64 of them.
            pairs: second texts of text pairs.

        Raises:
            PlanError: if the plan has no share, or none reaches the budget; the message says which
                budgets can be reached.

        Example:
            >>> classifier.with_budget(0.5, texts).predict(texts)  # doctest: +SKIP
        """
        texts, pairs = as_texts(texts, pairs)
        numbers = spread(len(texts), 64)
        second = None if pairs is None else [pairs[number] for number in numbers]
        sample = self.encode([texts[number] for number in numbers], second, tell=False)
        return self._at(plan_for_budget(self.torch_model(), budget, sample, self.batch_tokens))

    def _at(self, plan: Plan) -> Self:
        twin, model = copy.copy(self), self.torch_model()
        if model.cascade is not None:
            said = "another share of tokens changes the reference that certificates refer to"
            if self.review is not None:
                raise PlanError(f"{said}; leave it out, or answer everything with max_error=1")
            warn(f"{said}: it answers alone, and nothing is certified", stacklevel=3)
        twin.plan, twin.model = plan, model.alone().under_plan(plan)
        twin._runner = TorchRunner(twin.model)
        if said := name_untrained(self._trained, plan, self.model.plan.depth):
            warn(said, stacklevel=3)
        return twin
