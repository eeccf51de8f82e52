"""Contenders by name, as `tersely bench --contenders` takes them, and how each is made.

A name is a preset of token reduction or one of `RECIPES`, with options behind a colon
(`topk:keep=0.5,trained=no`), or a class of one's own (`my_module:MyContender`). What has to be
trained, fitted or exported is, all on the same documents, and kept (`model_cache`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tersely.bench.contenders import Contender, PackedContender
from tersely.bench.linear import LinearContender, StaticContender, TfidfContender
from tersely.bench.model_cache import ModelCache
from tersely.bench.stock import StockContender, export_onnx
from tersely.classifier import Classifier
from tersely.errors import DataError, MissingExtraError, ModelError, PlanError, require
from tersely.modeling import with_plan
from tersely.reduction import has_share, plan_share, preset, presets


class Skipped(Exception):
    """A contender that cannot take part on this machine; the message says why."""


_DTYPES = ("float32", "bfloat16", "float16")
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "batch_size": ("a whole number of at least 1", lambda n: type(n) is int and n >= 1),
    "max_length": ("a whole number of at least 3", lambda n: type(n) is int and n >= 3),
    "dtype": (f"one of {', '.join(_DTYPES)}", _DTYPES.__contains__),
    "target": ("a share between 0 and 1", lambda x: type(x) in (int, float) and 0 < x <= 1),
    "trained": ("yes or no", lambda value: type(value) is bool),
}
"""What options may be, in words and as a test; a method's own are its preset's."""


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
    options = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise DataError(f"expected KEY=VALUE behind {name!r}, got {key!r}; write {key}=…")
        options[key] = _value(value)
        expected, fits = _VALUES.get(key, ("", lambda value: True))
        if not fits(options[key]):
            raise DataError(f"{text}: {key} must be {expected}, got {options[key]!r}")
    _, known = RECIPES.get(name, (None, options))
    if unknown := set(options) - set(known):
        raise DataError(
            f"{min(unknown)!r} is not an option of the contender {name!r}; "
            f"its options are {', '.join(known) or 'none'}"
        )
    return name, options


def _value(text: str) -> Any:
    """Read yes, no, a number or a fraction; anything else is itself."""
    if text.lower() in ("yes", "no", "true", "false"):
        return text.lower() in ("yes", "true")
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else json.loads(text)
    except (ValueError, ZeroDivisionError):
        return text


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
    name, options = _read(text)
    try:
        if ":" in name:
            return _own(name, cache)
        if name in RECIPES:
            return RECIPES[name][0](text, options, cache)
        return _reduced(text, name, options, cache)
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
        _read(text)
    made, skipped = [], {}
    for text in names:
        try:
            made.append(make_contender(text, cache))
        except Skipped as reason:
            cache.tell(f"{text} is left out: {reason}")
            skipped[text] = str(reason)
    return made, skipped


# ---- the dense model, padded -------------------------------------------------------------------


def _padded(
    order: str, text: str, options: Mapping[str, Any], cache: ModelCache, onnx: str | None = None
) -> StockContender:
    """The dense model in padded batches, by torch, or by ONNX Runtime in a precision."""
    source = folder = cache.dense_source()
    limit = cache.options.get("max_length")
    limit = limit or Classifier.from_pretrained(source, **cache.loading).limit
    options = {"max_length": limit, "dtype": onnx or "float32"} | options
    if onnx is None:
        options = {"device": cache.device} | options
    else:
        export = partial(export_onnx, source)
        folder, _ = cache.kept("exporting to ONNX", {"form": "onnx"}, export, of="dense")
    made = StockContender(folder, name=text, order=order, **options)
    made.about = (
        f"dense, {'transformers' if onnx is None else 'ONNX Runtime'}, padded batches "
        f"{'as they come' if order == 'arrival' else 'sorted by length'}, {options['dtype']}, "
        f"at most {options['max_length']} tokens"
    )
    return made


# ---- packed, with or without a plan ------------------------------------------------------------


def _packed(name: str, source: Any, loading: Mapping[str, Any], about: str) -> PackedContender:
    source = {"source": str(source), **loading}
    return PackedContender(Classifier.from_pretrained(**source), name, source=source, about=about)


def _reduced(text: str, name: str, options: dict[str, Any], cache: ModelCache) -> PackedContender:
    """A preset on packed batches: trained on the documents, or put on the dense model as it is."""
    trained, target = options.pop("trained", True), options.pop("target", None)
    own = {key: options.pop(key) for key in ("max_length", "dtype") if key in options}
    loading = cache.loading | own
    said = f", at most {loading['max_length']} tokens" if "max_length" in loading else ""
    said += f", {own['dtype']}" if "dtype" in own else ""
    plan = preset(name, **options)  # a wrong option is refused before anything is trained
    length = own.get("max_length")
    if name == "dense" and (not trained or (cache.dense and length is None)):
        return _packed(text, cache.dense_source(), loading, f"dense, packed{said}")
    if trained:
        extra = {"max_length": length, "target_flops": target}
        folder, seconds = cache.trained(name, options, extra)
        made = _packed(text, folder, loading, f"{name}, packed, trained{said}")
        made.training_seconds = seconds
        return made
    if target is not None:
        raise DataError(f"{text}: target needs training; give the option that it sets")
    source = cache.dense_source()

    def make(folder: Path) -> None:
        # With its own limits: what was asked for here is told to whoever loads the folder.
        classifier = Classifier.from_pretrained(source, device="cpu")
        model = with_plan(classifier.model, plan)
        if model.head_is_new:
            raise DataError(
                f"{name} needs the head mean, and the dense model has its family's; train it "
                "instead"
            )
        model.save_pretrained(folder)
        classifier.tokenizer.save_pretrained(folder)

    what = f"putting the dense model under {name}"
    folder, _ = cache.kept(what, {"form": plan.to_dict()}, make, of="dense")
    return _packed(text, folder, loading, f"the dense model under {name}, without training{said}")


# ---- without an encoder, and one's own ---------------------------------------------------------


def _static(text: str, options: Mapping[str, Any], cache: ModelCache) -> Contender:
    require("model2vec", "bench")
    encoder = cache.encoder or cache.dense_source()
    try:
        return _linear(StaticContender, text, {"encoder": encoder}, cache)
    except (ModelError, OSError) as error:  # no tokenizer, or a Hub that does not answer
        raise Skipped(f"its encoder cannot be read: {error}") from error


def _linear(
    kind: type[LinearContender], text: str, options: Mapping[str, Any], cache: ModelCache
) -> LinearContender:
    documents = cache.documents(text)
    labels = cache.space.encode(documents.labels)

    def make(folder: Path) -> None:
        contender = kind(cache.space.problem_type, text, **options)
        contender.fit(documents.texts, labels)
        contender.save(folder)

    folder, seconds = cache.kept(f"fitting {text}", {"form": text, **options}, make)
    made = kind.from_spec({"folder": folder})
    made.training_seconds = seconds
    return made


def _own(name: str, cache: ModelCache) -> Contender:
    """A class of the user's: made without arguments, and fitted if it has a `fit`."""
    module, _, attribute = name.partition(":")
    # As `python -m` does: a module beside the documents, which a console script would not see.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        contender = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise DataError(
            "expected a module and a class in it that has all methods and is made without "
            f"arguments, got {name!r} ({error}); correct the name or complete the class"
        ) from error
    if not isinstance(contender, Contender):
        raise DataError(
            f"expected a subclass of tersely.bench.TextContender or Contender, got {name!r}; "
            "derive the class from one of them"
        )
    if hasattr(contender, "fit"):
        documents = cache.documents(name)
        contender.fit(documents.texts, cache.space.encode(documents.labels))
    return contender


Recipe = Callable[[str, Mapping[str, Any], ModelCache], Contender]
RECIPES: dict[str, tuple[Recipe, tuple[str, ...]]] = {
    "pipeline": (partial(_padded, "arrival"), ("batch_size", "max_length", "dtype")),
    "sorted": (partial(_padded, "sorted"), ("batch_size", "max_length", "dtype")),
    "onnx": (partial(_padded, "sorted", onnx="float32"), ("batch_size", "max_length")),
    "onnx-int8": (partial(_padded, "sorted", onnx="int8"), ("batch_size", "max_length")),
    "tfidf": (partial(_linear, TfidfContender), ()),
    "static": (_static, ()),
}
"""Names that are not presets: what makes them, and their options."""


# ---- models that are given ---------------------------------------------------------------------


def load_models(models: Sequence[str], loading: Mapping[str, Any]) -> list[PackedContender]:
    """Load trained models, each under the name of its directory, or its path where two share one.

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

    Contenders without such a share are passed over.

    Args:
        contenders: all that were made.
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
