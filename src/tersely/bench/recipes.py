"""Contenders by name, as `tersely bench --contenders` takes them, and how each is made.

A name is a preset of token reduction or one of `RECIPES`, with options behind a colon
(`topk:keep=0.5,trained=no`), or a class of one's own (`my_module:MyContender`). What has to be
trained, fitted or exported is, all on the same documents, and kept (`model_cache`).
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tersely.bench.contenders import Contender, PackedContender
from tersely.bench.linear import LinearContender, StaticContender, TfidfContender
from tersely.bench.model_cache import ModelCache
from tersely.bench.stock import StockContender, export_onnx
from tersely.classifier import Classifier
from tersely.errors import DataError, MissingExtraError, ModelError, PlanError, require
from tersely.modeling import with_plan
from tersely.reduction import Plan, has_share, plan_share, preset, presets

__all__ = ["RECIPES", "Skipped", "at_budgets", "load_models", "make_contender", "make_contenders"]


class Skipped(Exception):
    """A contender that cannot take part on this machine; the message says why."""


@dataclass(frozen=True)
class Spec:
    """What somebody asked for: the text, the name in it, and the options in it."""

    text: str
    name: str
    options: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> Spec:
        """Read `"name"`, `"name:key=value,key=value"` or `"module:Class"`."""
        name, _, tail = text.partition(":")
        if tail and "=" not in tail:
            name, tail = text, ""
        if name not in (*RECIPES, *presets()) and ":" not in name:
            raise DataError(
                f"expected a contender out of {', '.join([*RECIPES, *presets()])} or "
                f"'module:Class', got {name!r}; correct the name"
            )
        options = {}
        for part in filter(None, tail.split(",")):
            key, equals, value = (each.strip() for each in part.partition("="))
            if not equals:
                raise DataError(f"expected KEY=VALUE behind {name!r}, got {key!r}; write {key}=…")
            options[key] = _value(value)
            expected, fits = _VALUES.get(key, ("", lambda value: True))
            if not fits(options[key]):
                raise DataError(f"{text}: {key} must be {expected}, got {options[key]!r}")
        known = _OPTIONS.get(name)
        if known is not None and set(options) - set(known):
            raise DataError(
                f"{min(set(options) - set(known))!r} is not an option of the contender {name!r}; "
                f"its options are {', '.join(known) or 'none'}"
            )
        return cls(text, name, options)


def _value(text: str) -> Any:
    """Read yes, no, a number or a fraction; anything else is itself."""
    if text.lower() in ("yes", "no", "true", "false"):
        return text.lower() in ("yes", "true")
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else json.loads(text)
    except (ValueError, ZeroDivisionError):
        return text


def _is_yes_or_no(value: Any) -> bool:
    return type(value) is bool


_DTYPES = ("float32", "bfloat16", "float16")
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "batch_size": ("a whole number of at least 1", lambda n: type(n) is int and n >= 1),
    "max_length": ("a whole number of at least 3", lambda n: type(n) is int and n >= 3),
    "dtype": (f"one of {', '.join(_DTYPES)}", _DTYPES.__contains__),
    "target": ("a share between 0 and 1", lambda x: type(x) in (int, float) and 0 < x <= 1),
    "trained": ("yes or no", _is_yes_or_no),
    "compiled": ("yes or no", _is_yes_or_no),
}
"""What options may be, in words and as a test; a method's own are its preset's."""


def make_contender(text: str, cache: ModelCache) -> Contender:
    """Make the contender of a name, training what has to be trained.

    Args:
        text: a name with its options, such as `"pipeline"`, `"dense:max_length=128"`,
            `"pool:keep=0.5,trained=no"` or `"my_module:MyContender"`.
        cache: what to make it from, and where to keep it.

    Raises:
        DataError: for a name or an option that does not exist, or where training documents lack.
        Skipped: if this machine lacks what it needs: an optional library, an encoder.
    """
    spec = Spec.read(text)
    try:
        if spec.name in RECIPES:
            return RECIPES[spec.name](spec, cache)
        return _own(spec, cache) if ":" in spec.name else _reduced(spec, cache)
    except MissingExtraError as error:
        raise Skipped(str(error)) from error


def make_contenders(
    names: Sequence[str], cache: ModelCache
) -> tuple[list[Contender], dict[str, str]]:
    """Make contenders; return them, and the reasons for those that are left out.

    Every name is read before anything is trained.
    """
    names = list(dict.fromkeys(names))
    for text in names:
        Spec.read(text)
    made, skipped = [], {}
    for text in names:
        try:
            made.append(make_contender(text, cache))
        except Skipped as reason:
            cache.tell(f"{text} is left out: {reason}")
            skipped[text] = str(reason)
    return made, skipped


# ---- the dense model, padded -------------------------------------------------------------------


def _padded(order: str, spec: Spec, cache: ModelCache) -> StockContender:
    source = cache.dense_source()
    options = {"max_length": _limit(cache, source), "device": cache.device} | spec.options
    made = StockContender(source, name=spec.text, order=order, **options)
    about = "as transformers' pipeline runs it: padded, as they come"
    if order == "sorted":
        about = "padded batches sorted by length"
    dtype = options.get("dtype", "float32")
    made.about = f"dense, {about}, {dtype}, at most {options['max_length']} tokens"
    return made


def _onnx(precision: str, spec: Spec, cache: ModelCache) -> StockContender:
    source = cache.dense_source()
    export = functools.partial(export_onnx, source)
    folder, _ = cache.kept("exporting to ONNX", {"form": "onnx"}, export, of="dense")
    options = {"max_length": _limit(cache, source)} | spec.options
    made = StockContender(folder, name=spec.text, order="sorted", dtype=precision, **options)
    made.about = f"dense, ONNX Runtime, {precision}, padded batches sorted by length"
    return made


def _limit(cache: ModelCache, source: str) -> int:
    """Return the most tokens of a document that the dense model reads, as its classifier does."""
    given = cache.options.get("max_length")
    return given or Classifier.from_pretrained(source, **cache.loading).limit


# ---- packed, with or without a plan ------------------------------------------------------------


def _packed(name: str, source: Any, loading: Mapping[str, Any], about: str) -> PackedContender:
    source = {"source": str(source), **loading}
    return PackedContender(Classifier.from_pretrained(**source), name, source=source, about=about)


def _reduced(spec: Spec, cache: ModelCache) -> PackedContender:
    """A preset on packed batches: trained on the documents, or put on the dense model as it is."""
    options = dict(spec.options)
    trained, target = options.pop("trained", True), options.pop("target", None)
    own = {name: options.pop(name) for name in ("max_length", "dtype") if name in options}
    loading = cache.loading | own
    notes = [f"at most {loading['max_length']} tokens"] if "max_length" in loading else []
    said = "".join(f", {each}" for each in (*notes, *filter(None, [own.get("dtype")])))
    plan = preset(spec.name, **options)  # a wrong option is refused before anything is trained
    length = own.get("max_length")
    if spec.name == "dense" and (not trained or (cache.dense and length is None)):
        return _packed(spec.text, cache.dense_source(), loading, f"dense, packed{said}")
    if not trained:
        if target is not None:
            raise DataError(f"{spec.text}: target needs training; give the option that it sets")
        about = f"the dense model under {spec.name}, without training{said}"
        return _packed(spec.text, _untrained(plan, cache), loading, about)
    extra = {"max_length": length, "target_flops": target}
    folder, seconds = cache.trained(spec.name, options, extra)
    made = _packed(spec.text, folder, loading, f"{spec.name}, packed, trained{said}")
    made.training_seconds = seconds
    return made


def _untrained(plan: Plan, cache: ModelCache) -> Path:
    source = cache.dense_source()

    def make(folder: Path) -> None:
        # With its own limits: what was asked for here is told to whoever loads the folder.
        classifier = Classifier.from_pretrained(source, device="cpu")
        model = with_plan(classifier.model, plan)
        if model.head_is_new:
            raise DataError(
                f"{plan.name} needs the head mean, and the dense model has its family's; train it "
                "instead"
            )
        model.save_pretrained(folder)
        classifier.tokenizer.save_pretrained(folder)

    what = f"putting the dense model under {plan.name}"
    return cache.kept(what, {"form": plan.to_dict()}, make, of="dense")[0]


# ---- without an encoder, and one's own ---------------------------------------------------------


def _static(spec: Spec, cache: ModelCache) -> Contender:
    require("model2vec", "bench")
    try:
        encoder = cache.encoder or cache.dense_source()
        return _fitted(StaticContender, spec, cache, encoder=encoder)
    except (ModelError, OSError) as error:  # no tokenizer, or a Hub that does not answer
        raise Skipped(f"its encoder cannot be read: {error}") from error


def _fitted(
    kind: type[LinearContender], spec: Spec, cache: ModelCache, **extra: Any
) -> LinearContender:
    documents = cache.documents(spec.name)
    labels = cache.space.encode(documents.labels)
    options = {"problem_type": cache.space.problem_type, "name": spec.text, **extra}

    def make(folder: Path) -> None:
        contender = kind(**options)
        contender.fit(documents.texts, labels)
        contender.save(folder)

    folder, seconds = cache.kept(f"fitting {spec.name}", {"form": spec.name, **extra}, make)
    made = kind.from_spec({"folder": folder, **options})
    made.training_seconds = seconds
    return made


def _own(spec: Spec, cache: ModelCache) -> Contender:
    """A class of the user's: made without arguments, and fitted if it has a `fit`."""
    module, _, name = spec.name.partition(":")
    # As `python -m` does: a module beside the documents, which a console script would not see.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        contender = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise DataError(
            "expected a module and a class in it that has all methods and is made without "
            f"arguments, got {spec.name!r} ({error}); correct the name or complete the class"
        ) from error
    if not isinstance(contender, Contender):
        raise DataError(
            f"expected a subclass of tersely.bench.TextContender or Contender, got {spec.name!r}; "
            "derive the class from one of them"
        )
    if hasattr(contender, "fit"):
        documents = cache.documents(spec.name)
        contender.fit(documents.texts, cache.space.encode(documents.labels))
    return contender


_STOCK = ("batch_size", "max_length", "dtype", "compiled")
_GRAPH = ("batch_size", "max_length")
_OPTIONS = {"pipeline": _STOCK, "sorted": _STOCK, "onnx": _GRAPH, "onnx-int8": _GRAPH}
_OPTIONS |= {"tfidf": (), "static": ()}

RECIPES: dict[str, Callable[[Spec, ModelCache], Contender]] = {
    "pipeline": functools.partial(_padded, "arrival"),
    "sorted": functools.partial(_padded, "sorted"),
    "onnx": functools.partial(_onnx, "float32"),
    "onnx-int8": functools.partial(_onnx, "int8"),
    "tfidf": functools.partial(_fitted, TfidfContender),
    "static": _static,
}
"""Names that are not presets, and what makes them."""


# ---- models that are given ---------------------------------------------------------------------


def load_models(models: Sequence[str], loading: Mapping[str, Any]) -> list[PackedContender]:
    """Load trained models, each under the name of its directory, or its path where two share one.

    Args:
        models: directories and Hub names.
        loading: further arguments of `Classifier.from_pretrained`.

    Raises:
        ModelError: if the models tell different labels apart.
    """
    names = [Path(model).resolve().name for model in models]
    if len(set(names)) < len(names):
        names = list(models)
    found: list[PackedContender] = []
    for name, model in zip(names, models, strict=True):
        made = _packed(name, model, loading, "")
        made.about = f"the model {name}: {made.classifier.plan.name}, packed"
        record = Path(model) / "training.json"
        if record.is_file():
            made.training_seconds = json.loads(record.read_text())["seconds"]
        if found and made.classifier.label_space != found[0].classifier.label_space:
            raise ModelError(
                f"models must tell the same labels apart to be compared, and {name} differs from "
                f"{names[0]}; train both on the same data"
            )
        found.append(made)
    return found


def at_budgets(
    contenders: Sequence[Contender],
    texts: Sequence[str],
    keeps: Sequence[float] = (),
    budgets: Sequence[float] = (),
) -> list[PackedContender]:
    """Return each model that removes tokens by a share once more for every budget; same weights.

    Args:
        contenders: those without such a share are passed over.
        texts: documents to count MACs on.
        keeps: shares of tokens.
        budgets: target MACs ÷ dense MACs.

    Raises:
        PlanError: if there is no model that removes tokens by a share.
    """
    packed = [each for each in contenders if isinstance(each, PackedContender)]
    models = [each for each in packed if has_share(each.classifier.plan)]
    if (keeps or budgets) and not models:
        raise PlanError(
            "budgets need a model that removes tokens by a share, and there is none; train one "
            "with the method lat"
        )
    more = []
    for contender in models:
        own = contender.classifier
        settings = [(f"keep {keep:g}", own.with_options(keep=keep)) for keep in keeps]
        settings += [(f"budget {each:g}", own.with_budget(each, texts)) for each in budgets]
        for name, other in settings:
            share, reached, _ = plan_share(other.plan, other.model.plan.depth)
            title = f"{contender.name}, {name}"
            more.append(contender.like(other, title, method_options={share: reached}))
    return more
