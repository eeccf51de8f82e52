"""What users write: a classifier that is trained, loaded and saved in a few lines.

What a trained one answers is in `trained`, and what `fit` makes of what it is given in
`training/fit.py`; how it passes for an estimator of scikit-learn, in `estimator`.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from tersely._io import Bar, Progress, torch_threads, written_whole
from tersely.card import Evaluation, model_card, write_card
from tersely.defaults import DEFAULT_MODEL
from tersely.errors import DataError, DeviceError, PlanError, require, warn
from tersely.estimator import Estimator
from tersely.export import files_of_export, is_export, load_export
from tersely.modeling import TerselyForSequenceClassification, from_encoder
from tersely.modeling.cascading import at_limit
from tersely.modeling.loading import load_classifier, load_tokenizer
from tersely.reduction import Knowledge, Plan, preset
from tersely.search import find_cascade, recalibrate
from tersely.text import Documents, LabelSpace
from tersely.text.labels import SINGLE_LABEL, are_whole
from tersely.text.likeness import tell_alike
from tersely.training.settings import TrainingSettings

# The record of the training run, beside the model.
_RECORD = "training.json"


class Classifier(Estimator):
    """A document classifier: texts in, labels out.

    Args:
        model: the encoder to start from: a Hub name, a directory of transformers, or a dense
            tersely model. Not read before `fit`.
        method: the reduction: a preset's name, or a `Plan`.
        method_options: the preset's options; see `tersely.preset`.
        target_flops: target MACs ÷ dense MACs on the same documents: the option of the preset that
            moves its cost is set for it in `fit`. None to leave it.
        max_length: most tokens of a document or window; None for what a tersely model to start from
            was saved with, or what the encoder takes, at most 512.
        long: what happens to longer documents: `"truncate"`, `"head-tail"`, `"windows"`,
            `"select"` or `"select-sentence"`; None for what a tersely model to start from was saved
            with, and `"truncate"` otherwise.
        head: `"auto"`, `"mean"` or `"family"`; see `tersely.modeling.from_encoder`.
        problem_type: as in transformers; None to tell by the labels.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:0"`, ….
        batch_tokens: tokens of a packed batch at inference. 4,096 keeps the largest temporary of a
            base encoder in the cache's reach; more gains nothing on CPUs.
        threads: threads of torch, in training and after; None for the process's own number.
        knowledge: what patterns by syntax or by stems need; see `tersely.text.syntax`. It is not
            saved with the model.
        **loading: `revision`, `token`, `cache_dir`, `local_files_only`, `dtype`, as in
            transformers.

    Attributes:
        classes_: the labels in the order of the logits: names, or int where `fit` got these.
        training: the record of the training run; None where another process trained.
        validation, proof: documents that chose the best epoch and the cascade, and that proved it.

    Example:
        >>> classifier = Classifier("bert-base-uncased")  # doctest: +SKIP
        >>> classifier.fit(texts, labels).predict(["a text"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        method: str | Plan = "dense",
        method_options: Mapping[str, Any] | None = None,
        target_flops: float | None = None,
        max_length: int | None = None,
        long: str | None = None,
        head: str = "auto",
        problem_type: str | None = None,
        device: str = "auto",
        batch_tokens: int = 4096,
        threads: int | None = None,
        knowledge: Knowledge | None = None,
        **loading: Any,
    ) -> None:
        # As they came, since scikit-learn's copies must hold the same objects.
        given = {name: value for name, value in locals().items() if name != "loading"} | loading
        self._given = {name: given[name] for name in given if name not in ("self", "__class__")}
        self.method_options = dict(method_options or {})
        if isinstance(method, Plan) and (self.method_options or target_flops is not None):
            raise PlanError(
                "method_options and target_flops are for a preset's name, got a plan of your own"
            )
        self.plan = method if isinstance(method, Plan) else preset(method, **self.method_options)
        super().__init__(str(model), device, batch_tokens, threads)
        self.target_flops, self.problem_type, self.head = target_flops, problem_type, head
        self.max_length, self.long, self.loading = max_length, long, loading
        self.knowledge = knowledge or Knowledge()
        self.training: dict[str, Any] | None = None
        self.validation: Documents | None = None
        self.proof: Documents | None = None
        self._checkpoints: Path | None = None

    def fit(
        self,
        texts: Sequence[str] | Documents,
        labels: Sequence[Any] | None = None,
        *,
        pairs: Sequence[str] | None = None,
        sample_weight: Sequence[float] | None = None,
        classes: Sequence[str] | None = None,
        validation: Documents | float = 0.1,
        settings: TrainingSettings | None = None,
        teacher: Classifier | np.ndarray | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        progress: bool | Progress = False,
        cascade: str = "auto",
        stacking: bool = True,
        max_loss: float = 0.01,
        tell: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Fine-tune the encoder under the plan, and put a linear model beside it.

        The linear stage is fitted first. After training, validation documents set temperatures, the
        weight of the linear stage's evidence beside the encoder's, and a cascade; a tenth of 3,000
        different documents or more, set apart before anything else, proves what that loses. With
        fewer it is estimated, and all is read in full. `training["lines"]` says what came out.

        If it fails, the classifier stays what it was; it keeps the model that it had until then.

        Args:
            texts: the documents in a list, a numpy array, or a pandas or Arrow column; or
                `Documents` with labels.
            labels: a label a document: strings, lists of strings for several at once, or floats, in
                any of these.
            pairs: second texts of text pairs.
            sample_weight: how much each document counts in the loss, `(documents,)` above 0.
            classes: all labels in the order of the logits; None for the order of their names.
            validation: documents to choose the best epoch by, or the share of the training
                documents to set apart for it (stratified); 0 for none, which keeps the last epoch.
            settings: how to train, and whether to search for more (`TrainingSettings.tune`).
            teacher: a trained classifier or an export whose logits to learn from as well, or logits
                of these documents themselves, `(documents, labels)`. None for the dense model that
                the plan is trained from, where there is one (see `TrainingSettings.dense_share`);
                nobody teaches with `TrainingSettings(distillation_weight=0)`.
            out: folder for the checkpoints, so that a killed run can be resumed.
            resume: go on from the newest checkpoint in `out`.
            progress: draw bars on standard error; or what to call after each step, with what runs,
                and how many steps of how many are done.
            cascade: `"auto"`, or `"off"` for the encoder alone. Regressions have none.
            stacking: whether the linear stage's evidence may be added to the encoder's.
            max_loss: the net loss of right answers that a cascade may have, a share.
            tell: called with a line about the linear stage, a trial, and the cascade.

        Raises:
            DataError: for labels that cannot be trained on, or a limit that is no share.
            TrainingError: if training cannot go on.
        """
        # transformers' Trainer comes with these; who only predicts does without.
        from tersely.search.after_training import cascade_after, first_verdict
        from tersely.training.fit import gather
        from tersely.training.run import claimed
        from tersely.training.stages import StagedTraining
        from tersely.training.tuning import Tuning

        if cascade not in ("auto", "off") or not 0 < max_loss < 1:
            raise DataError(
                "expected a cascade of auto or off and a max_loss between 0 and 1, got "
                f"{cascade!r} and {max_loss}"
            )
        settings, lines = settings or TrainingSettings(), []
        progress = Bar(leave=False).show if progress is True else progress or None

        def note(line: str) -> None:
            lines.append(line)
            tell(line)

        how = {"validation": validation, "teacher": teacher, "classes": classes}
        how |= {"sample_weight": sample_weight, "problem_type": self.problem_type}
        how |= {"seed": settings.seed, "prove": cascade == "auto", "progress": progress}
        if settings.tune is not None:
            require("optuna", "tune")  # before minutes are spent
        given = gather(texts, labels, pairs, **how)
        start = self._start(given.space, settings.seed)
        start._tell_limit()
        linear = given.linear_beside(start)
        train, held_out = given.encoded(start, linear)
        start._tell(*(part.encoded for part in (train, held_out) if part is not None))
        if held_out is not None:
            tell_alike(train.encoded, held_out.encoded, start.tokenizer, "validation documents")
        asked = start, linear, given, train, max_loss, note
        first = first_verdict(*asked) if cascade == "auto" else None
        training = StagedTraining(
            make=functools.partial(self._new_model, given.space),
            plan=self.plan,
            settings=settings,
            options=self.method_options,
            target=self.target_flops,
            batch_tokens=self.batch_tokens,
            checkpoints=None if out is None else Path(out) / "checkpoints",
            flow={"resume": resume, "progress": progress},
        )
        with torch_threads(self.threads), claimed(training.checkpoints):
            taught_by = given.taught(train)
            run = training.run if settings.tune is None else Tuning(training, tell).run
            model, record = run(start.model, train, held_out)
        if settings.tune is not None:
            note(record["tuning"]["verdict"])
        model.config.pairs = given.documents.pairs is not None
        whole = given.documents.whole_labels if classes is None else are_whole(classes)
        model.config.whole_labels = whole and given.space.problem_type == SINGLE_LABEL
        if first is not None:
            start.adopt(model, start.tokenizer)
            asked = max_loss, stacking, note
            model, record["cascade"] = cascade_after(start, first.stage, given, *asked)
        self.adopt(model, start.tokenizer)
        record |= {"source": Path(self.source).name, "lengths": vars(train.encoded.report)}
        record |= {"lines": lines, "teacher": taught_by or record.get("teacher")}
        self.training, self._checkpoints = record, training.checkpoints
        self.validation, self.proof = given.validation, given.proof
        return self

    def _start(self, space: LabelSpace, seed: int) -> Self:
        """Return a copy with the model to start from: this one's is another until it is trained."""
        torch.manual_seed(seed)
        start, model = copy.copy(self), self._new_model(space, self.plan, self.head)
        start.adopt(model, load_tokenizer(self.source, self.loading, model.config))
        return start

    def _new_model(
        self, space: LabelSpace, plan: Plan, head: str
    ) -> TerselyForSequenceClassification:
        options = {"id2label": dict(enumerate(space.names)), "problem_type": space.problem_type}
        options |= {"max_length": self.max_length, "long": self.long} | self.loading
        model = from_encoder(self.source, plan=plan, head=head, **options)
        model.knowledge = self.knowledge
        return model.to(self.device)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str = "auto",
        batch_tokens: int | None = None,
        threads: int | None = None,
        max_length: int | None = None,
        long: str | None = None,
        knowledge: Knowledge | None = None,
        max_disagreement: float | None = None,
        max_loss: float | None = None,
        max_error: float | None = None,
        **loading: Any,
    ) -> Self:
        """Load a trained classifier: a tersely model or an export of one, or one of transformers.

        Args:
            source: a directory or a Hub name; what is fine-tuned with transformers runs dense.
            device: see the class.
            batch_tokens: see the class; None for the model's own, or else the class's default.
            threads: see the class; None for the model's own.
            max_length: another limit than the model's own.
            long: another policy for long documents than the model's own.
            knowledge: see the class.
            max_disagreement: of a cascade another certified limit; 0 for the reference alone.
            max_loss: the same, where the limits are on the net loss.
            max_error: the same on the error of answers, 1 to answer everything; see `set_apart`.
            **loading: as in transformers.

        Raises:
            DataError: for a limit that was not certified.
            ModelError: if it is not a classifier, or cannot be read.
        """
        if not (exported := is_export(source)):
            loaded = load_classifier(str(source), **loading)
        elif str(device) in ("auto", "cpu"):
            loaded, device, loading = load_export(source), "cpu", {}
        else:
            raise DeviceError(f"exports run on the CPU, got the device {device}; leave it out")
        config = loaded.config
        running = {} if batch_tokens is None else {"batch_tokens": batch_tokens}
        running |= {"device": device, "threads": threads}
        classifier = cls(source, method="dense", knowledge=knowledge, **running)
        config.max_length = max_length or config.max_length
        saved, config.long = config.long, long or config.long
        config.check()
        classifier.plan = config.reduction_plan()
        own = {name: getattr(config, name) for name in ("max_length", "long", "problem_type")}
        classifier._given |= {"method": classifier.plan, **own, **loading}
        tokenizer = load_tokenizer(str(source), loading, config)
        limits = {"disagreement": max_disagreement, "loss": max_loss, "error": max_error}
        for criterion, limit in limits.items():
            loaded = loaded if limit is None else at_limit(loaded, limit, criterion)
        if exported:
            classifier._runner, classifier.tokenizer = loaded, tokenizer
        else:
            loaded.knowledge = classifier.knowledge
            classifier.adopt(loaded, tokenizer)
        classifier._saved_long = saved
        classifier._tell_limit()
        return classifier

    def accelerate(
        self,
        texts: Sequence[str] | Documents,
        labels: Sequence[Any] | None = None,
        *,
        limit: float = 0.005,
        seed: int = 0,
    ) -> Self:
        """Return a classifier that answers surely known texts by fast stages, and proves how well.

        Some of the texts fit a linear stage, some choose stages and thresholds, and the others
        prove them; see `tersely.search`. Weights are shared, and this one stays as it is.

        Args:
            texts: documents such as it will read, on which it was not trained.
            labels: their labels; the limit is then on the net loss.
            limit: the share of texts that may get another label than this one's, or of net loss:
                those that turn wrong less those that turn right.
            seed: of the draw of the texts that fit, choose and prove.

        Returns:
            The faster one, whose `certificates` say what was proven; this very one, with a warning
            that says why, where nothing is proven to be faster.

        Raises:
            DataError: if there are too few texts to prove the limit; it says how many it takes.
            ModelError: if this is no dense classifier.

        Example:
            >>> fast = classifier.accelerate(texts, limit=0.01)  # doctest: +SKIP
            >>> fast.certificates.at(0.01).bound <= 0.01, fast.predict(texts)  # doctest: +SKIP
        """
        if not isinstance(texts, Documents):
            texts = Documents.from_lists(texts, labels)
        found = find_cascade(self, texts, limit=limit, seed=seed)
        if found.cascade is None or found.cascade.is_alone:
            warn(f"{self.source} stays as it is: {found.why_not}")
            return self
        return self.with_model(found.runner.model.under_cascade(found.cascade))

    def recalibrate(
        self,
        texts: Sequence[str] | Documents,
        labels: Sequence[Any] | None = None,
        *,
        pairs: Sequence[str] | None = None,
        max_disagreement: float | None = None,
        max_loss: float | None = None,
        max_error: float | None = None,
        progress: Progress = None,
    ) -> Self:
        """Return this classifier with limits that are certified anew, and the one asked for in use.

        Stages, path and temperatures stay, and so does this classifier. All texts prove.

        Args:
            texts: such as it will read, that it was not trained on.
            labels: as for `fit`, for limits on the loss and on the error.
            pairs: second texts of text pairs.
            max_disagreement: the share that may get another label than the reference's; without any
                limit it is the one in use.
            max_loss: the share that may turn wrong, less those that turn right.
            max_error: the share of wrong labels among those that are answered; see `set_apart`.
            progress: called with what runs, and how much of how much of it is done.

        Example:
            >>> sure = classifier.recalibrate(texts, labels, max_error=0.02)  # doctest: +SKIP
        """
        if not isinstance(texts, Documents):
            texts = Documents.from_lists(texts, labels, pairs)
        limits = {"disagreement": max_disagreement, "loss": max_loss, "error": max_error}
        cascade = recalibrate(self, texts, limits, progress)
        return self.with_model(self.torch_model().under_cascade(cascade))

    def save(self, directory: str | Path, *, evaluation: Evaluation | str | None = None) -> Path:
        """Write model, configuration, tokenizer and card: a directory of transformers, no pickles.

        The card, `README.md`, says what the model is and what it was measured at; one that was not
        written by tersely, or was changed, stays as it is, with a warning. A full disk leaves an
        older model as it was; the checkpoints of the training run go when the model is there. Of
        what the directory held before, an export and another model's record of training go too.

        Args:
            directory: where to.
            evaluation: what `evaluate` gave for this model, or a verdict, to stand in the card.

        Raises:
            OutputError: if the directory cannot be written, or the disk is full.
        """
        folder, model = Path(directory), self.torch_model()
        card = model_card(
            folder.resolve().name,
            model.config,
            self.label_space,
            limit=self.limit,
            training=self.training,
            evaluation=evaluation,
        )
        # Saved where it was loaded from, the record there is that of these weights.
        again = folder.resolve() == Path(self.source).resolve()
        other = (folder / "config.json").exists() and not again
        replaced = (*files_of_export(folder), *((_RECORD,) if other else ()))
        with written_whole(folder, "model", replaces=replaced) as part:
            model.save_pretrained(part)
            self.tokenizer.model_max_length = self.limit  # where transformers' pipeline cuts
            self.tokenizer.save_pretrained(part)
            if self.training is not None:
                text = json.dumps(self.training, indent=1, default=float)
                (part / _RECORD).write_text(text + "\n", encoding="utf-8")
            write_card(card, part, folder)
        if self._checkpoints is not None:
            from tersely.training.run import remove_checkpoints

            remove_checkpoints(self._checkpoints)
        return folder
