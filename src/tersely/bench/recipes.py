"""Contenders by name, as `tersely bench --contenders` takes them, and how each is made.

A name is a preset of token reduction, put on the dense model as it is, or one of `RECIPES`, with
options behind a colon (`topk:keep=0.5`), or a class of one's own (`my_module:MyContender`).
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tersely._io import resolve_device
from tersely.bench.contenders import Contender, LinearContender, PackedContender, under_plan
from tersely.bench.stock import StockContender, export_onnx
from tersely.classifier import Classifier
from tersely.defaults import default_model
from tersely.errors import DataError, MissingExtraError, ModelError, PlanError, name_all
from tersely.modeling.loading import load_tokenizer
from tersely.reduction import has_share, preset, presets, read_options, read_value
from tersely.text import Documents, LabelSpace
from tersely.text.encoding import encode
from tersely.text.labels import REGRESSION
from tersely.text.likeness import tell_alike

_DTYPES = ("float32", "bfloat16", "float16")
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "batch_size": ("a whole number of at least 1", lambda n: type(n) is int and n >= 1),
    "max_length": ("a whole number of at least 3", lambda n: type(n) is int and n >= 3),
    "dtype": (f"one of {', '.join(_DTYPES)}", _DTYPES.__contains__),
}
"""What options may be, in words and as a test; a method's own are its preset's."""


@dataclass(frozen=True)
class Sources:
    """What contenders are made from."""

    space: LabelSpace
    folder: Path  # where exports are written to
    dense: str | None = None  # a dense classifier's directory or Hub name
    train: Documents | None = None  # what is fitted on
    loading: Mapping[str, Any] = field(default_factory=dict)  # for `Classifier.from_pretrained`

    def dense_source(self, what: str) -> str:
        """Return the dense classifier that others are made of."""
        if self.dense is None:
            raise DataError(f"{what} is built from a dense model, and there is none; name one")
        return self.dense

    def fit(self, what: str, contender: Any) -> None:
        """Fit a contender on the training documents, if they hold just the classes told apart."""
        if self.train is None:
            raise DataError(f"{what} has to be fitted, and there are no training documents")
        if self.space.problem_type != REGRESSION:
            names = set(LabelSpace.infer(self.train.labels, self.space.problem_type).names)
            more, fewer = names - set(self.space.names), set(self.space.names) - names
            if more or fewer:
                raise DataError(
                    f"{what} has to be fitted on the same {len(self.space.names)} classes, but the "
                    f"training documents {'also hold' if more else 'lack'} "
                    f"{name_all(sorted(more or fewer))}; give others"
                )
        started = time.perf_counter()
        contender.fit(self.train.texts, self.space.encode(self.train.labels))
        contender.training_seconds = time.perf_counter() - started


def make_contenders(
    names: Sequence[str], sources: Sources
) -> tuple[list[Contender], dict[str, str]]:
    """Make contenders; return them, and the reasons for those whose optional library lacks.

    Every name, such as `"pipeline"` or `"pool:keep=0.5"`, is read before anything is made.
    """
    read = {text: _read(text) for text in names}
    made, skipped = [], {}
    for text, (name, options) in read.items():
        make = RECIPES[name][0] if name in RECIPES else _own if ":" in name else _reduced
        try:
            made.append(make(text, options, sources))
        except MissingExtraError as reason:
            skipped[text] = str(reason)
    return made, skipped


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of `"name"`, `"name:key=value,…"` or `"module:Class"`."""
    name, _, tail = text.partition(":")
    if tail and "=" not in tail:
        name, tail = text, ""
    if name not in (*RECIPES, *presets()) and ":" not in name:
        raise DataError(
            f"expected a contender out of {', '.join([*RECIPES, *presets()])} or "
            f"'module:Class', got {name!r}; correct the name"
        )
    given = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise DataError(f"expected KEY=VALUE after {name!r}, got {key!r}; write {key}=…")
        given[key] = value
    options = {key: read_value(given.pop(key)) for key in _VALUES if key in given}
    for key, value in options.items():
        if not _VALUES[key][1](value):
            raise DataError(f"{text}: {key} must be {_VALUES[key][0]}, got {value!r}")
    if name in presets():
        return name, options | read_options(name, given)
    options |= given
    _, known = RECIPES.get(name, (None, ()))
    if unknown := set(options) - set(known):
        told = f"its options are {', '.join(known) or 'none'}"
        raise DataError(f"{min(unknown)!r} is not an option of the contender {name!r}; {told}")
    return name, options


def _padded(
    order: str, text: str, options: Mapping[str, Any], sources: Sources, onnx: str | None = None
) -> StockContender:
    source = sources.dense_source(text)
    limit = Classifier.from_pretrained(source, **sources.loading).limit
    options = {"max_length": limit, "dtype": onnx or "float32"} | options
    if onnx is None:
        options["device"] = str(resolve_device(sources.loading.get("device", "auto")))
    else:
        dense, source = source, sources.folder / "onnx"
        if not source.exists():
            export_onnx(dense, source)
    made = StockContender(source, name=text, order=order, **options)
    how = "as they come" if order == "arrival" else "sorted by length"
    how = f"{'transformers' if onnx is None else 'ONNX Runtime'}, padded batches {how}"
    made.about = f"dense, {how}, {options['dtype']}, at most {options['max_length']} tokens"
    return made


def _reduced(text: str, options: dict[str, Any], sources: Sources) -> PackedContender:
    name = text.partition(":")[0]
    own = {key: options.pop(key) for key in ("max_length", "dtype") if key in options}
    plan = preset(name, **options)
    made = _packed(text, sources.dense_source(text), sources.loading | own)
    reads = f"at most {made.classifier.limit} tokens, {made.classifier.dtype_name}"
    made.about = f"the dense model under {name}, without training, {reads}"
    made.classifier = under_plan(made.classifier, plan)
    return made


def _packed(name: str, source: str, loading: Mapping[str, Any]) -> PackedContender:
    return PackedContender(Classifier.from_pretrained(source, **loading), name)


def _tfidf(text: str, options: Mapping[str, Any], sources: Sources) -> LinearContender:
    source, limit = sources.dense or default_model()[0], sources.loading.get("max_length") or 512
    made = LinearContender(text, load_tokenizer(source, {}), limit, sources.space)
    sources.fit(text, made)
    return made


def _own(text: str, options: Mapping[str, Any], sources: Sources) -> Contender:
    """A class of the user's: made without arguments, and fitted if it has a `fit`."""
    module, _, attribute = text.partition(":")
    # As `python -m` does: a module beside the documents, which a console script would not see.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        contender = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise DataError(
            "expected a module and a class in it that has all methods and is made without "
            f"arguments, got {text!r} ({error}); correct the name or complete the class"
        ) from error
    if not isinstance(contender, Contender):
        wanted = "a class that is derived from tersely.bench.TextContender or Contender"
        raise DataError(f"expected {wanted}, got {text!r}; derive it from one of them")
    if hasattr(contender, "fit"):
        sources.fit(text, contender)
    return contender


RECIPES: dict[str, tuple[Callable[..., Contender], tuple[str, ...]]] = {
    "pipeline": (partial(_padded, "arrival"), ("batch_size", "max_length", "dtype")),
    "sorted": (partial(_padded, "sorted"), ("batch_size", "max_length", "dtype")),
    "onnx": (partial(_padded, "sorted", onnx="float32"), ("batch_size", "max_length")),
    "onnx-int8": (partial(_padded, "sorted", onnx="int8"), ("batch_size", "max_length")),
    "tfidf": (_tfidf, ()),
}
"""Names that are not presets: what makes them, and their options."""


def load_models(models: Sequence[str], loading: Mapping[str, Any]) -> list[PackedContender]:
    """Load trained models, each under its directory's name, or its path where two share one."""
    names = [Path(model).resolve().name for model in models]
    names = names if len(set(names)) == len(names) else list(models)
    found: list[PackedContender] = []
    for name, model in zip(names, models, strict=True):
        made = _packed(name, model, loading)
        made.about = f"the model {name}: {made.classifier.plan.name}, packed"
        record = Path(model) / "training.json"
        if record.is_file():
            made.training_seconds = json.loads(record.read_text())["seconds"]
        if found and made.classifier.label_space != found[0].classifier.label_space:
            raise ModelError(
                f"models must have the same labels to be compared, but {name} differs from "
                f"{names[0]}; train both on the same data"
            )
        found.append(made)
    return found


def tell_duplicates(contenders: Sequence[Contender], train: Documents, other: Documents) -> None:
    """Warn of documents that say nearly the same as one of `train`, if a contender reads pieces."""
    known = (each for each in contenders if isinstance(each, PackedContender | LinearContender))
    if (reader := next(known, None)) is not None:
        both = (encode(reader.tokenizer, each.texts, max_length=512) for each in (train, other))
        tell_alike(*both, reader.tokenizer, f"documents of {other.source}")


def at_budgets(
    contenders: Sequence[Contender],
    texts: Sequence[str],
    keeps: Sequence[float] = (),
    budgets: Sequence[float] = (),
) -> list[PackedContender]:
    """Return each model that removes tokens by a share once more for every budget; same weights.

    `keeps` are shares of tokens, `budgets` target MACs ÷ dense MACs, counted on the texts.
    """
    packed = [each for each in contenders if isinstance(each, PackedContender)]
    models = [each for each in packed if has_share(each.classifier.plan)]
    if (keeps or budgets) and not models:
        raise PlanError(
            "budgets need a model that removes tokens by a share, and there is none; train one "
            "with the method lat, or with choose and random_budgets"
        )
    found = []
    for model in models:
        at = {f"keep {x:g}": model.classifier.with_options(keep=x) for x in keeps}
        at |= {f"budget {x:g}": model.classifier.with_budget(x, texts) for x in budgets}
        for setting, made in at.items():
            found.append(PackedContender(made, f"{model.name}, {setting}"))
    return found
