"""The few lines that users write: train a classifier, load one, predict, evaluate, save."""

from __future__ import annotations

import copy
import functools
import json
import operator
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError

from laconic.card import Evaluation, place_card
from laconic.data import Documents, LabelSpace, split_numbers
from laconic.data.memory import as_list
from laconic.devices import resolve_device, torch_threads
from laconic.encoding import EncodedDocuments, encode
from laconic.errors import (
    DataError,
    DeviceError,
    LaconicWarning,
    ModelError,
    OutputError,
    PlanError,
)
from laconic.estimator import Estimator
from laconic.export import is_export, load_export
from laconic.inference import Forward, Runner, TorchRunner
from laconic.machine import describe_machine
from laconic.metrics import evaluate_logits, predict_from_logits
from laconic.model import (
    Execution,
    LaconicConfig,
    LaconicForSequenceClassification,
    from_encoder,
)
from laconic.model.loading import load_classifier, load_tokenizer
from laconic.reduction import (
    Knowledge,
    Plan,
    has_share,
    plan_share,
    preset,
    with_share,
)
from laconic.speed import Speed
from laconic.training import TrainingDocuments, TrainingSettings
from laconic.training.budget import plan_for_budget
from laconic.training.stages import StagedTraining
from laconic.unknown import count_unknown

__all__ = ["Classifier"]

DEFAULT_MODEL = "bert-base-uncased"
BACKENDS = ("auto", "torch", "onnx")

# Documents on which a budget is counted.
_COUNTED = 64


class Classifier(Estimator):
    """A document classifier: texts in, labels out.

    Args:
        model: the encoder to start from: a Hub name, a directory of transformers, or a dense
            laconic model. Not read before `fit`.
        method: the reduction: a preset's name, or a `Plan`. `"topk"` by default, because of the
            comparison in `docs/results.md`.
        method_options: the preset's options; see `laconic.preset`.
        target_flops: multiply-adds to reach, over those of the dense model on the same documents:
            the option of the preset that moves its cost is set for it in `fit`. None to leave it.
        max_length: most tokens of a document or window; None for what the encoder takes, at most
            512 (longer contexts have to be asked for).
        long: what happens to longer documents: `"truncate"`, `"head-tail"` or `"windows"`.
        head: `"auto"`, `"mean"` or `"family"`; see `laconic.model.from_encoder`.
        problem_type: as in transformers; None to tell by the labels.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:0"`, ….
        batch_tokens: tokens of a packed batch at inference. 4,096 keeps the largest temporary of a
            base encoder in the cache's reach; more gains nothing on CPUs.
        knowledge: what patterns by syntax or by stems need; see `laconic.syntax`. It is not saved
            with the model.
        **loading: `revision`, `token`, `cache_dir`, `local_files_only`, `dtype`, as in
            transformers.

    Attributes:
        classes_: the labels' names, in the order of the logits.

    Example:
        >>> classifier = Classifier("bert-base-uncased", method="topk")  # doctest: +SKIP
        >>> classifier.fit(texts, labels).predict(["a text"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        method: str | Plan = "topk",
        method_options: Mapping[str, Any] | None = None,
        target_flops: float | None = None,
        max_length: int | None = None,
        long: str = "truncate",
        head: str = "auto",
        problem_type: str | None = None,
        device: str = "auto",
        batch_tokens: int = 4096,
        knowledge: Knowledge | None = None,
        **loading: Any,
    ) -> None:
        self._remember(
            model=model,
            method=method,
            method_options=method_options,
            target_flops=target_flops,
            max_length=max_length,
            long=long,
            head=head,
            problem_type=problem_type,
            device=device,
            batch_tokens=batch_tokens,
            knowledge=knowledge,
            **loading,
        )
        self.source = str(model)
        self.knowledge = knowledge or Knowledge()
        self.method_options = dict(method_options or {})
        if isinstance(method, Plan) and (self.method_options or target_flops is not None):
            raise PlanError(
                "method_options and target_flops are for a preset's name, got a plan of your own"
            )
        self.plan = method if isinstance(method, Plan) else preset(method, **self.method_options)
        self.target_flops = target_flops
        self.max_length = max_length
        self.long = long
        self.head = head
        self.problem_type = problem_type
        self.device = resolve_device(device)
        self.batch_tokens = batch_tokens
        self.loading = loading
        self.model: LaconicForSequenceClassification | None = None
        self._runner: Runner | None = None
        self.tokenizer: Any = None
        self.training: dict[str, Any] | None = None
        self.evaluation: Evaluation | None = None
        self.execution = Execution(batch_tokens)
        self._checkpoints: Path | None = None
        self._trained = self.plan

    # ---- loading and saving --------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str = "auto",
        batch_tokens: int | None = None,
        max_length: int | None = None,
        long: str | None = None,
        method_options: Mapping[str, float] | None = None,
        knowledge: Knowledge | None = None,
        backend: str = "auto",
        **loading: Any,
    ) -> Self:
        """Load a trained classifier: a laconic model, or a fine-tuned one of transformers (dense).

        Args:
            source: a directory or a Hub name.
            device: see the class.
            batch_tokens: see the class; None for the model's own, or else the class's default.
            max_length: another limit than the model's own.
            long: another policy for long documents than the model's own.
            method_options: another share than the one it was trained with; see `with_options`.
            knowledge: see the class.
            backend: `"torch"`, `"onnx"` for what `laconic export` wrote, or `"auto"` to tell by the
                directory.
            **loading: as in transformers.

        Raises:
            ModelError: if it is not a classifier, or cannot be read.
        """
        if backend not in BACKENDS:
            raise ModelError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        exported = is_export(source)
        if exported and backend == "torch":
            raise ModelError(
                f"{source} holds an export, which torch cannot run; use backend='onnx', or the "
                "model that it was made from"
            )
        onnx = exported or backend == "onnx"
        runner = load_export(source) if onnx else None
        model = None if onnx else load_classifier(str(source), **loading)
        config = (runner if onnx else model).config
        execution = Execution.from_dict(config.execution)
        if batch_tokens is not None:
            execution = replace(execution, batch_tokens=batch_tokens)
        classifier = cls(
            source,
            method="dense",
            device=_device_of_export(device) if onnx else device,
            batch_tokens=execution.batch_tokens,
            knowledge=knowledge,
        )
        config.max_length = max_length or config.max_length
        config.long = long or config.long
        classifier.plan = config.reduction_plan()
        classifier._given |= {
            "method": classifier.plan,
            "max_length": config.max_length,
            "long": config.long,
            "problem_type": config.problem_type,
            **loading,
        }
        if onnx:
            classifier._runner, classifier.tokenizer = runner, load_tokenizer(str(source), {})
        else:
            model.knowledge = classifier.knowledge
            classifier.adopt(model, load_tokenizer(str(source), loading), execution)
        return classifier.with_options(**method_options) if method_options else classifier

    def save(self, directory: str | Path) -> Path:
        """Write model, configuration, tokenizer and card: a directory of transformers, no pickles.

        The card, `README.md`, says what the model is and what the last `evaluate` gave; one that
        was not written by laconic, or was changed, stays as it is, with a warning.

        The files are written beside and then moved, so that a full disk leaves an older model as it
        was; the checkpoints of the training run go when the model is there.

        Raises:
            OutputError: if the directory cannot be written, or the disk is full.
        """
        folder = Path(directory)
        model = self.torch_model()
        if self.execution.precision != "float32":
            raise ModelError(
                f"a model that runs in {self.execution.precision} is not saved, since its weights "
                "are rounded; save the one that it was made from, with the execution in its "
                "configuration"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as part:
                model.save_pretrained(part)
                self.tokenizer.save_pretrained(part)
                if self.training is not None:
                    text = json.dumps(self.training, indent=1, default=float)
                    Path(part, "training.json").write_text(text + "\n", encoding="utf-8")
                place_card(self, Path(part), folder)
                for file in Path(part).iterdir():
                    os.replace(file, folder / file.name)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"the model cannot be written to {folder}: {error}; free some space or choose "
                "another place"
            ) from error
        if self._checkpoints is not None:
            shutil.rmtree(self._checkpoints, ignore_errors=True)
        return folder

    def save_card(self, directory: str | Path) -> None:
        """Write the card again beside a saved model, with what `evaluate` gave since.

        Raises:
            OutputError: if the directory cannot be written.
        """
        try:
            place_card(self, Path(directory), Path(directory))
        except OSError as error:
            raise OutputError(
                f"the model's card cannot be written to {directory}: {error.strerror}; free some "
                "space, or write to it what it lacks"
            ) from error

    # ---- training ------------------------------------------------------------------------------

    def fit(
        self,
        texts: Sequence[str] | Documents,
        labels: Sequence[Any] | None = None,
        *,
        pairs: Sequence[str] | None = None,
        validation: Documents | float = 0.1,
        settings: TrainingSettings | None = None,
        teacher: Classifier | np.ndarray | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> Self:
        """Fine-tune the encoder under the plan.

        Args:
            texts: the documents in a list, a numpy array, or a pandas or Arrow column; or
                `Documents` with labels.
            labels: a label a document: strings, lists of strings for several at once, or floats, in
                any of these.
            pairs: second texts of text pairs.
            validation: documents to choose the best epoch by, or the share of the training
                documents to set apart for it (stratified); 0 for none, which keeps the last epoch.
            settings: how to train.
            teacher: a trained classifier whose logits to learn from as well, or the logits
                themselves, `(documents, labels)` for these documents with the labels in the order
                of their names. None for the dense model that the plan is trained from; nobody
                teaches with `TrainingSettings(distillation_weight=0)`.
            out: folder for the checkpoints, so that a killed run can be resumed.
            resume: go on from the newest checkpoint in `out`.
            progress: draw progress bars on standard error.

        Raises:
            DataError: for labels that cannot be trained on.
            TrainingError: if training cannot go on.
        """
        documents = (
            texts
            if isinstance(texts, Documents)
            else Documents.from_lists(*_as_lists(texts, labels, pairs))
        )
        if documents.labels is None:
            raise DataError(f"{documents.source} has no labels to train on; name their column")
        settings = settings or TrainingSettings()
        space = LabelSpace.infer(documents.labels, self.problem_type)
        logits = None
        if isinstance(teacher, np.ndarray):
            logits, teacher = _check_logits(teacher, len(documents), space), None
        if isinstance(validation, float | int):
            rows, held = _set_apart(documents, float(validation), settings.seed)
            logits = None if logits is None else logits[rows]
            validation = None if held is None else documents.select(held)
            documents = documents.select(rows)
        self._checkpoints = None if out is None else Path(out) / "checkpoints"
        torch.manual_seed(settings.seed)
        self.adopt(
            self._new_model(space, self.plan, self.head), load_tokenizer(self.source, self.loading)
        )
        train = self._training_documents(documents, space, teacher)
        train.teacher_logits = train.teacher_logits if logits is None else logits
        held_out = None
        if validation is not None:
            held_out = self._training_documents(validation, space, None)
        self._tell(*(part.encoded for part in (train, held_out) if part is not None))
        training = StagedTraining(
            make=lambda plan, head: self._new_model(space, plan, head).to(self.device),
            plan=self.plan,
            settings=settings,
            options=self.method_options,
            target=self.target_flops,
            batch_tokens=self.batch_tokens,
            checkpoints=self._checkpoints,
            flow={"resume": resume, "progress": progress},
        )
        guide = None if teacher is None else teacher.torch_model().to(self.device)
        model, record = training.run(self.model, train, held_out, guide)
        self.plan = training.plan
        self.adopt(model, self.tokenizer)
        record["lengths"] = vars(train.encoded.report)
        record["source"] = Path(self.source).name
        if teacher is not None:
            record["teacher"] = Path(teacher.source).name
        elif logits is not None:
            record["teacher"] = "given logits"
        self.training, self.evaluation = record, None
        return self

    def _new_model(
        self, space: LabelSpace, plan: Plan, head: str
    ) -> LaconicForSequenceClassification:
        model = from_encoder(
            self.source,
            plan=plan,
            head=head,
            id2label=space.id2label,
            problem_type=space.problem_type,
            max_length=self.max_length,
            long=self.long,
            **self.loading,
        )
        model.knowledge = self.knowledge
        return model

    def _training_documents(
        self, documents: Documents, space: LabelSpace, teacher: Classifier | None
    ) -> TrainingDocuments:
        encoded = self._encode(documents.texts, documents.pairs)
        logits = None
        if teacher is not None:
            if list(teacher.classes_) != list(space.names):
                raise DataError(
                    f"the teacher tells {len(teacher.classes_)} labels apart that are not the "
                    f"{len(space.names)} of the training documents; train it on the same labels"
                )
            logits = teacher.logits(documents.texts, documents.pairs)
        return TrainingDocuments(encoded, space.encode(documents.labels), logits)

    # ---- other budgets -------------------------------------------------------------------------

    def with_options(self, **shares: float) -> Self:
        """This trained classifier at another share of its plan, such as `keep=0.5`.

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
        self,
        budget: float,
        documents: Sequence[str] | EncodedDocuments,
        pairs: Sequence[str] | None = None,
        *,
        tell: bool = True,
    ) -> Self:
        """This trained classifier at the share of its plan that reaches a budget.

        Args:
            budget: multiply-adds over those without any removal, between 0 and 1.
            documents: texts such as it is meant for; the multiply-adds are counted on 64 of them.
            pairs: second texts of text pairs.
            tell: whether to warn where the model was not trained for it.

        Raises:
            PlanError: if the plan has no share, or none reaches the budget; the message says which
                budgets can be reached.

        Example:
            >>> classifier.with_budget(0.5, texts).predict(texts)  # doctest: +SKIP
        """
        if not isinstance(documents, EncodedDocuments):
            documents, _, pairs = _as_lists(documents, None, pairs)
        count = min(_COUNTED, len(documents))
        numbers = np.linspace(0, len(documents) - 1, count).astype(int).tolist()
        if isinstance(documents, EncodedDocuments):
            sample = documents.select(numbers)
        else:
            second = None if pairs is None else [pairs[number] for number in numbers]
            sample = self._encode([documents[number] for number in numbers], second)
        plan = plan_for_budget(self.torch_model(), budget, sample, self.batch_tokens)
        return self._at(plan, tell=tell)

    def _at(self, plan: Plan, *, tell: bool = True) -> Self:
        twin = copy.copy(self)
        twin.evaluation = None
        twin.plan, twin.model = plan, self.torch_model().under_plan(plan)
        twin._runner = TorchRunner(twin.model)
        if tell:
            self._tell_share(plan)
        return twin

    def _tell_share(self, plan: Plan) -> None:
        """Warn of a share that the model was not trained for."""
        depth = self.torch_model().plan.depth
        trained, now = _spell_share(self._trained, depth), _spell_share(plan, depth)
        ranged = any(s.select is not None and s.select.randomised for s in plan.steps)
        if now[1] < trained[1] if ranged else plan != self._trained:
            what = "down to" if ranged else "with"
            advice = "" if ranged else ", or train for a range of budgets with the method lat"
            warnings.warn(
                f"the model was trained {what} {trained[0]} and runs with {now[0]}, so it may be "
                f"less accurate; compare with laconic evaluate{advice}",
                LaconicWarning,
                stacklevel=4,
            )

    # ---- predicting ----------------------------------------------------------------------------

    @property
    def classes_(self) -> list[str]:
        """The labels' names, in the order of the logits."""
        names = self.model_config.id2label
        return [names[number] for number in range(len(names))]

    @property
    def label_space(self) -> LabelSpace:
        """The labels with the type of the problem."""
        return LabelSpace(tuple(self.classes_), self._problem())

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, tell: bool = True
    ) -> EncodedDocuments:
        """Tokenise documents as this model reads them; says once how many were too long.

        Args:
            texts: the documents.
            pairs: their second texts.
            tell: whether to warn; the report of what was too long is in the result all the same.
        """
        encoded = self._encode(texts, pairs)
        if tell:
            self._tell(encoded)
        return encoded

    def _encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> EncodedDocuments:
        config = self.model_config
        texts, _, pairs = _as_lists(texts, None, pairs)
        return encode(
            self.tokenizer,
            texts,
            pairs,
            max_length=self.limit,
            policy=config.long,
            overlap=config.window_overlap,
        )

    def _tell(self, *parts: EncodedDocuments) -> None:
        """Warn, once for all parts, of documents that are too long or that nothing is known of."""
        said = functools.reduce(operator.add, (part.report for part in parts)).sentence()
        if said is not None:
            warnings.warn(said, LaconicWarning, stacklevel=3)
        unknown = sum(count_unknown(part, self.tokenizer) for part in parts)
        if unknown:
            warnings.warn(
                f"{unknown:,} of {sum(map(len, parts)):,} documents hold no character that the "
                "tokenizer knows; they are kept, and their labels are guesses",
                LaconicWarning,
                stacklevel=3,
            )

    @property
    def model_config(self) -> LaconicConfig:
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
        most = runner.longest_document or 512
        return min(runner.config.max_length or min(512, most), most)

    def logits(
        self,
        texts: Sequence[str] | EncodedDocuments,
        pairs: Sequence[str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Logits `(documents, labels)` float32, in the documents' order."""
        encoded = texts if isinstance(texts, EncodedDocuments) else self.encode(texts, pairs)
        return self.forward(encoded, progress).logits

    def forward(
        self, encoded: EncodedDocuments, progress: Callable[[int], None] | None = None
    ) -> Forward:
        """Run the model over encoded documents: logits, and what they cost."""
        with torch_threads(self.execution.threads):
            return self._ready().run(encoded, self.batch_tokens, progress)

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Probabilities `(documents, labels)`: softmax, or a sigmoid each where several may hold.

        Raises:
            ModelError: for a regression model, which has none.
        """
        return self.probabilities(self.logits(texts, pairs))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities from logits `(documents, labels)`."""
        problem = self._problem()
        if problem == "regression":
            raise ModelError("a regression model has no probabilities; use predict")
        values = torch.from_numpy(logits)
        several = problem == "multi_label_classification"
        return (values.sigmoid() if several else values.softmax(-1)).numpy()

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> list[str] | list[list[str]] | list[float]:
        """The label of each document; a list of labels, or a number, where the problem is such."""
        return self.decide(self.logits(texts, pairs))

    def decide(self, logits: np.ndarray) -> list[str] | list[list[str]] | list[float]:
        """Labels from logits `(documents, labels)`."""
        problem, names = self._problem(), self.classes_
        predicted = predict_from_logits(logits, problem)
        if problem == "regression":
            return [float(value) for value in predicted[:, 0]]
        if problem == "multi_label_classification":
            return [[names[i] for i in np.flatnonzero(row)] for row in predicted]
        return [names[number] for number in predicted]

    def evaluate(
        self, documents: Documents, progress: Callable[[int], None] | None = None
    ) -> dict[str, float]:
        """Metrics on labelled documents: accuracy and F1, or the errors of a regression.

        Labels that training never saw are counted in a warning, and as errors in the figures. The
        figures are kept with the time that it took, and `save` writes both into the model's card.

        Raises:
            DataError: if the documents have no labels.
        """
        if documents.labels is None:
            raise DataError(f"{documents.source} has no labels to evaluate against")
        labels = self.label_space.encode(documents.labels, unseen="skip")
        begun = time.perf_counter()
        encoded = self.encode(documents.texts, documents.pairs)
        tokenised = time.perf_counter()
        forward = self.forward(encoded, progress)
        seconds = tokenised - begun, time.perf_counter() - tokenised
        metrics = evaluate_logits(forward.logits, labels, self._problem())
        speed = self._speed(encoded, forward, *seconds)
        self.evaluation = Evaluation(Path(documents.source).name, len(documents), metrics, speed)
        return metrics

    def _speed(
        self, encoded: EncodedDocuments, forward: Forward, tokenising: float, running: float
    ) -> Speed:
        with torch_threads(self.execution.threads):
            machine = describe_machine()
        precision = self.execution.precision
        return Speed(
            documents=len(encoded),
            tokens=encoded.tokens,
            multiply_adds=forward.multiply_adds,
            tokenising=tokenising,
            running=running,
            batch_tokens=self.batch_tokens,
            device=self.device.type,
            numbers=self.dtype_name if precision == "float32" else precision,
            machine=machine,
        )

    # ---- inside --------------------------------------------------------------------------------

    def adopt(
        self,
        model: LaconicForSequenceClassification,
        tokenizer: Any,
        execution: Execution | None = None,
    ) -> None:
        """Take over a model with its tokenizer, and run it as `execution` says.

        Args:
            model: the model; it is moved to this classifier's device.
            tokenizer: its tokenizer.
            execution: how to run it; None for this classifier's token budget alone.
        """
        self.execution = (execution or Execution(self.batch_tokens)).on(self.device)
        self.batch_tokens = self.execution.batch_tokens
        self.model = self.execution.convert(model.to(self.device).eval())
        self._runner = TorchRunner(self.model)
        self.tokenizer = tokenizer
        self._trained = model.config.reduction_plan()

    def _ready(self) -> Runner:
        if self._runner is None:
            raise ModelError(
                "this classifier is not trained yet; call fit, or use Classifier.from_pretrained"
            )
        return self._runner

    def torch_model(self) -> LaconicForSequenceClassification:
        """The trained model.

        Raises:
            ModelError: if there is none yet, or if an export runs in its place.
        """
        self._ready()
        if self.model is None:
            raise ModelError(
                f"{self.source} is an export, which holds no model of torch; use the model that it "
                "was made from"
            )
        return self.model

    def _problem(self) -> str:
        config = self.model_config
        if config.problem_type is not None:
            return config.problem_type
        return "regression" if config.num_labels == 1 else "single_label_classification"


def _as_lists(texts: Any, labels: Any, pairs: Any) -> tuple[list, list | None, list | None]:
    """Texts, labels and second texts as lists, whatever columns they came in."""
    return (
        as_list(texts),
        None if labels is None else as_list(labels, "the labels"),
        None if pairs is None else as_list(pairs, "the second texts"),
    )


def _spell_share(plan: Plan, depth: int) -> tuple[str, float]:
    """A plan's share in words, and its value; other numbers where a method learned them."""
    if not has_share(plan):
        return f"numbers of its own at each block ({plan.name})", 0.0
    name, value, _ = plan_share(plan, depth)
    return f"{name}={value:.3g}", value


def _device_of_export(device: str) -> str:
    """Exports run on the CPU, whatever else the machine has."""
    if str(device) not in ("auto", "cpu"):
        raise DeviceError(f"exports run on the CPU, got --device {device}; leave it out")
    return "cpu"


def _set_apart(documents: Documents, share: float, seed: int) -> tuple[list[int], list[int] | None]:
    """The numbers of the documents to train on, and of those to validate on."""
    if not 0 <= share < 1:
        raise DataError(f"the validation share must be in [0, 1), got {share}")
    if share == 0:
        return list(range(len(documents))), None
    return split_numbers(documents, fraction=share, seed=seed)


def _check_logits(logits: np.ndarray, documents: int, space: LabelSpace) -> np.ndarray:
    """A teacher's logits as float32, if they are those of these documents and labels."""
    expected = (documents, len(space.id2label))
    if logits.shape != expected:
        raise DataError(
            f"the teacher's logits must be {expected[0]:,} documents by {expected[1]} labels, got "
            f"an array of shape {logits.shape}"
        )
    if not np.isfinite(logits).all():
        raise DataError("the teacher's logits must be finite numbers, got NaN or infinity")
    return logits.astype(np.float32)
