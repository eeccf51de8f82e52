"""From the names on the command line to the contenders of a comparison."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tersely.bench import BenchReport, PackedContender, Workshop, default_cache, make_contender
from tersely.bench.recipes import Skipped
from tersely.classifier import Classifier
from tersely.cli.trained import loading_options
from tersely.errors import DataError, ModelError, TerselyWarning
from tersely.reduction import presets
from tersely.text import Documents, LabelSpace
from tersely.text.metrics import evaluate_logits
from tersely.training import TrainingSettings

__all__ = ["Field", "GivenModels", "further_seeds", "gather", "load_given"]


@dataclass(frozen=True)
class GivenModels:
    """The models that are given, before anything is read or made.

    Attributes:
        sources: what `Classifier.from_pretrained` takes for each.
        names: as the tables show them.
        classifiers: the models.
    """

    sources: list[dict[str, Any]]
    names: list[str]
    classifiers: list[Classifier]

    @property
    def problem_type(self) -> str | None:
        """What the models are for; None if there is none."""
        return self.classifiers[0].label_space.problem_type if self.classifiers else None

    @property
    def dense(self) -> str | None:
        """The first dense one, of which others can be made; an export holds no model of torch."""
        for source, classifier in zip(self.sources, self.classifiers, strict=True):
            if classifier.plan.is_dense and classifier.model is not None:
                return source["source"]
        return None

    def contenders(self) -> list[PackedContender]:
        """Each as it takes part."""
        found = []
        for source, name, classifier in zip(
            self.sources, self.names, self.classifiers, strict=True
        ):
            contender = PackedContender(classifier, name, source=source)
            contender.about = f"the model {name}: {classifier.plan.name}, packed"
            contender.training_seconds = _training_seconds(Path(source["source"]))
            found.append(contender)
        return found


@dataclass
class Field:
    """Who takes part, what they were made from, and who could not."""

    space: LabelSpace
    shop: Workshop
    contenders: list[Any]
    models: dict[str, str]
    names: Sequence[str]
    skipped: dict[str, str] = field(default_factory=dict)

    def named(self, baseline: str | None) -> str | None:
        """The baseline's name, which may also be given as its path."""
        return self.models.get(baseline, baseline)


def load_given(values: Mapping[str, Any], models: Sequence[str]) -> GivenModels:
    """Load the models that are given.

    Args:
        values: the command's options.
        models: directories and Hub names.

    Raises:
        ModelError: if the models tell different labels apart.
    """
    sources = [{"source": model} | loading_options(values) for model in models]
    classifiers = [Classifier.from_pretrained(**source) for source in sources]
    names = _names(models)
    _check_labels(names, classifiers)
    return GivenModels(sources, names, classifiers)


def gather(
    values: Mapping[str, Any],
    models: GivenModels,
    wanted: Sequence[str],
    training: Documents | None,
    tell: Callable[[str], None],
) -> Field:
    """Bring the models together with the contenders, training what has to be trained.

    Args:
        values: the command's options.
        models: those that are given.
        wanted: names of contenders.
        training: what to train on, or None.
        tell: writes a line for the user.

    Raises:
        DataError: for a contender that does not exist, or nothing that could tell the labels.
    """
    if models.classifiers:
        space = models.classifiers[0].label_space
    elif training is not None:
        problem = values["problem_type"]
        space = LabelSpace.infer(training.labels, problem and str(problem))
    else:
        raise DataError(
            "nothing tells the labels; name a trained model with --models or documents with --train"
        )
    shop = Workshop(
        space=space,
        train=training,
        encoder=_encoder(values["encoder"], training, tell),
        dense=models.dense,
        settings=TrainingSettings(
            epochs=values["epochs"], learning_rate=values["learning_rate"], seed=values["seed"]
        ),
        options=loading_options(values),
        cache=values["cache"] or default_cache(),
        tell=tell,
    )
    contenders: list[Any] = list(models.contenders())
    paths = dict(zip([source["source"] for source in models.sources], models.names, strict=True))
    found = Field(space, shop, contenders, paths, list(wanted))
    for text in dict.fromkeys(wanted):
        try:
            contenders.append(make_contender(text, shop))
        except Skipped as reason:
            tell(f"{text} is left out: {reason}")
            found.skipped[text] = str(reason)
    return found


def further_seeds(
    report: BenchReport, found: Field, seeds: int, texts: Sequence[str], labels: Any
) -> BenchReport:
    """Train what is trained with further seeds, and judge it on the same documents."""
    qualities: dict[str, dict[str, dict[str, float]]] = {}
    first = found.shop.settings.seed
    for seed in range(first + 1, first + seeds):
        # A dense model that was given has no further seeds; one trained here is trained anew.
        given = found.shop.dense if found.shop.dense in found.models else None
        settings = replace(found.shop.settings, seed=seed)
        shop = replace(found.shop, settings=settings, dense=given)
        for text in found.names:
            # The linear contenders have no chance in them: another seed would be the same.
            drawn = text.partition(":")[0] in presets() and text not in found.skipped
            if not drawn or getattr(_of(found, text), "training_seconds", None) is None:
                continue
            contender = make_contender(text, shop)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TerselyWarning)
                contender.prepare(texts)
            logits: np.ndarray = contender.run()
            quality = evaluate_logits(logits, labels, found.space.problem_type)
            qualities.setdefault(text, {})[str(seed)] = quality
    results = tuple(replace(r, seeds=qualities.get(r.name)) for r in report.results)
    return replace(report, results=results)


def _of(found: Field, name: str) -> Any:
    return next(each for each in found.contenders if each.name == name)


def _names(models: Sequence[str]) -> list[str]:
    """Directory names; whole paths where those are not unique."""
    names = [Path(model).resolve().name for model in models]
    return names if len(set(names)) == len(names) else list(models)


def _check_labels(names: Sequence[str], classifiers: Sequence[Classifier]) -> None:
    for name, classifier in zip(names, classifiers, strict=True):
        if classifier.label_space != classifiers[0].label_space:
            raise ModelError(
                f"models must tell the same labels apart to be compared, and {name} differs from "
                f"{names[0]}; train both on the same data"
            )


def _encoder(
    given: str | None, training: Documents | None, tell: Callable[[str], None]
) -> str | None:
    if given is not None or training is None:
        return given
    from tersely.defaults import default_model

    model, note = default_model()
    if note is not None:
        tell(note)
    return model


def _training_seconds(folder: Path) -> float | None:
    """What training took, as the model's own record says."""
    record = folder / "training.json"
    return json.loads(record.read_text())["seconds"] if record.is_file() else None
