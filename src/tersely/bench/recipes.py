"""Contenders by name, as `tersely bench --contenders` takes them, and how each is made.

A name is a preset of token reduction or one of `RECIPES`, with options behind a colon
(`topk:keep=0.5,trained=no`), or a class of one's own (`my_module:MyContender`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tersely.bench.contenders import Contender
from tersely.bench.linear import LinearContender
from tersely.bench.packed import PackedContender
from tersely.bench.static import StaticContender
from tersely.bench.stock import StockContender
from tersely.bench.workshop import Workshop
from tersely.classifier import Classifier
from tersely.errors import DataError, MissingExtraError
from tersely.modeling import with_plan
from tersely.reduction import Plan, preset, presets

__all__ = ["RECIPES", "Skipped", "make_contender"]


class Skipped(Exception):
    """A contender that cannot take part on this machine; the message says why."""


@dataclass(frozen=True)
class Wish:
    """What somebody asked for: the text, the name in it, and the options in it."""

    text: str
    name: str
    options: Mapping[str, Any]

    def only(self, *known: str) -> dict[str, Any]:
        """The options, if they are all known.

        Raises:
            DataError: if one is not.
        """
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise DataError(
                f"{unknown[0]!r} is not an option of the contender {self.name!r}; its options are "
                f"{', '.join(known) or 'none'}"
            )
        return self.checked()

    def checked(self) -> dict[str, Any]:
        """The options, those of the recipes looked through; a method's own are its preset's.

        Raises:
            DataError: for a value that cannot be.
        """
        for name, value in self.options.items():
            expected, fits = _VALUES.get(name, ("", lambda value: True))
            if not fits(value):
                raise DataError(f"{self.text}: {name} must be {expected}, got {value!r}")
        return dict(self.options)


def _at_least(least: int) -> tuple[str, Callable[[Any], bool]]:
    return (
        f"a whole number of at least {least}",
        lambda value: type(value) is int and value >= least,
    )


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 1


_DTYPES = ("float32", "bfloat16", "float16")
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "batch_size": _at_least(1),
    "max_length": _at_least(3),
    "dtype": (f"one of {', '.join(_DTYPES)}", lambda value: value in _DTYPES),
    "target": ("a share between 0 and 1", _is_share),
    "trained": ("yes or no", lambda value: type(value) is bool),
}
"""What the options of the recipes may be, in words and as a test."""


def make_contender(text: str, shop: Workshop) -> Contender:
    """Make the contender of a name, training what has to be trained.

    Args:
        text: a name with its options, such as `"pipeline"`, `"dense:max_length=128"`,
            `"pool:keep=0.5,trained=no"` or `"my_module:MyContender"`.
        shop: what to make it from.

    Raises:
        DataError: for a name or an option that does not exist, or where training documents lack.
        Skipped: if this machine lacks what it needs, a GPU or an optional library.
    """
    wish = _read(text)
    try:
        if wish.name in RECIPES:
            return RECIPES[wish.name](wish, shop)
        if wish.name in presets():
            return _reduced(wish, shop)
        if ":" in wish.name:
            return _own(wish, shop)
    except MissingExtraError as error:
        raise Skipped(str(error)) from error
    raise DataError(
        f"expected a contender out of {', '.join([*RECIPES, *presets()])} or 'module:Class', got "
        f"{wish.name!r}; correct the name"
    )


def _read(text: str) -> Wish:
    name, _, tail = text.partition(":")
    if tail and "=" not in tail:
        return Wish(text, text, {})
    pairs = [part.partition("=") for part in tail.split(",") if part]
    bare = [key for key, equals, _ in pairs if not equals]
    if bare:
        raise DataError(f"expected KEY=VALUE behind {name!r}, got {bare[0]!r}; write {bare[0]}=…")
    return Wish(text, name, {key.strip(): _value(value.strip()) for key, _, value in pairs})


def _value(text: str) -> Any:
    known = {"yes": True, "no": False, "true": True, "false": False}
    if text.lower() in known:
        return known[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    above, slash, below = text.partition("/")
    if slash and above.isdigit() and below.isdigit() and int(below):
        return int(above) / int(below)
    return text


# ---- the dense model, padded -------------------------------------------------------------------


def _stock(wish: Wish, shop: Workshop, order: str, about: str, **fixed: Any) -> StockContender:
    options = wish.only("batch_size", "max_length", "dtype")
    source = shop.dense_source()
    length = options.pop("max_length", None) or _limit(shop, source)
    device = _device(shop)
    contender = StockContender(
        source,
        name=wish.text,
        order=order,
        max_length=length,
        device=device,
        **({"dtype": "float32"} | fixed | options),
    )
    contender.about = f"dense, {about}, at most {length} tokens"
    return contender


def _pipeline(wish: Wish, shop: Workshop) -> Contender:
    return _stock(wish, shop, "arrival", "as transformers' pipeline runs it: padded, as they come")


def _sorted(wish: Wish, shop: Workshop) -> Contender:
    return _stock(wish, shop, "sorted", "padded batches sorted by length")


def _half(wish: Wish, shop: Workshop) -> Contender:
    _needs_gpu(wish, shop)
    return _stock(wish, shop, "sorted", "padded, sorted, in bfloat16", dtype="bfloat16")


def _compiled(wish: Wish, shop: Workshop) -> Contender:
    _needs_gpu(wish, shop)
    about = "padded, sorted, in bfloat16, torch.compile"
    return _stock(wish, shop, "sorted", about, dtype="bfloat16", compiled=True)


def _varlen(wish: Wish, shop: Workshop) -> Contender:
    _needs_gpu(wish, shop)
    wish.only()
    loading = shop.loading | {"dtype": "bfloat16"}
    return _packed(
        wish.text, shop.dense_source(), loading, "dense, packed, bfloat16, varlen kernel"
    )


def _onnx(wish: Wish, shop: Workshop, precision: str) -> Contender:
    from tersely.bench.onnx_runtime import OnnxContender, export_onnx

    options = wish.only("batch_size", "max_length")
    source = shop.dense_source()
    folder, _ = shop.kept(
        "exporting to ONNX", {"of": "dense", "form": "onnx"}, lambda part: export_onnx(source, part)
    )
    options["max_length"] = options.get("max_length") or _limit(shop, source)
    contender = OnnxContender(folder, name=wish.text, precision=precision, **options)
    contender.about = f"dense, ONNX Runtime, {precision}, padded batches sorted by length"
    return contender


# ---- packed, with or without a plan ------------------------------------------------------------


def _packed(name: str, source: Any, loading: Mapping[str, Any], about: str) -> PackedContender:
    source = {"source": str(source), **loading}
    classifier = Classifier.from_pretrained(**source)
    contender = PackedContender(classifier, name, source=source)
    contender.about = about
    return contender


def _reduced(wish: Wish, shop: Workshop) -> Contender:
    """A preset on packed batches: trained on the documents, or put on the dense model as it is."""
    options = wish.checked()
    trained = options.pop("trained", True)
    extra = {"max_length": options.pop("max_length", None)}
    loading = shop.loading | {k: v for k, v in extra.items() if v is not None}
    length = f", at most {loading['max_length']} tokens" if "max_length" in loading else ""
    if wish.name == "dense" and (not trained or (shop.dense and extra["max_length"] is None)):
        preset("dense", **options)
        return _packed(wish.text, shop.dense_source(), loading, f"dense, packed{length}")
    target = options.pop("target", None)
    if not trained:
        if target is not None:
            raise DataError(f"{wish.text}: target needs training; give the option that it sets")
        folder = _untrained(preset(wish.name, **options), shop)
        about = f"the dense model under {wish.name}, without training{length}"
        return _packed(wish.text, folder, loading, about)
    preset(wish.name, **options)  # a wrong option is refused before anything is trained
    folder, seconds = shop.trained(wish.name, options, extra | {"target_flops": target})
    about = f"{wish.name}, packed, trained{length}"
    contender = _packed(wish.text, folder, loading, about)
    contender.training_seconds = seconds
    return contender


def _untrained(plan: Plan, shop: Workshop) -> Any:
    source = shop.dense_source()

    def make(folder: Any) -> None:
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

    about = {"of": "dense", "form": "plan", "plan": plan.to_dict()}
    return shop.kept(f"putting the dense model under {plan.name}", about, make)[0]


# ---- without an encoder ------------------------------------------------------------------------


def _fitted(wish: Wish, shop: Workshop, contender: Any, load: Callable[[Any], Any]) -> Contender:
    documents = shop.documents(wish.name)
    labels = shop.space.encode(documents.labels)

    def make(folder: Any) -> None:
        contender.fit(documents.texts, labels)
        contender.save(folder)

    folder, seconds = shop.kept(f"fitting {wish.name}", {"of": "train", "form": wish.name}, make)
    found = load(folder)
    found.training_seconds = seconds
    return found


def _tfidf(wish: Wish, shop: Workshop) -> Contender:
    wish.only()
    about = {"problem_type": shop.space.problem_type, "name": wish.text}
    return _fitted(
        wish,
        shop,
        LinearContender(**about),
        lambda folder: LinearContender.from_spec({"folder": folder, **about}),
    )


def _static(wish: Wish, shop: Workshop) -> Contender:
    wish.only()
    from tersely.errors import require

    require("model2vec", "bench")
    if shop.encoder is None:
        raise DataError("static is distilled from an encoder; name it with --encoder")
    about = {"encoder": shop.encoder, "problem_type": shop.space.problem_type, "name": wish.text}
    return _fitted(
        wish,
        shop,
        StaticContender(**about),
        lambda folder: StaticContender.from_spec({"folder": folder, **about}),
    )


def _own(wish: Wish, shop: Workshop) -> Contender:
    """A class of the user's: made without arguments, and fitted if it has a `fit`."""
    module, _, name = wish.name.partition(":")
    # As `python -m` does: a module beside the documents, which a console script would not see.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        contender = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"expected a module and a class in it, got {wish.name!r} ({error}); check the name"
        ) from error
    except TypeError as error:
        raise DataError(
            f"expected a class that can be made without arguments and has all methods, got "
            f"{wish.name!r} ({error}); complete the class"
        ) from error
    if hasattr(contender, "fit"):
        documents = shop.documents(wish.name)
        contender.fit(documents.texts, shop.space.encode(documents.labels))
    return contender


def _needs_gpu(wish: Wish, shop: Workshop) -> None:
    if not torch.cuda.is_available():
        raise Skipped(f"{wish.name} is for a GPU, and this machine has none")
    if _device(shop) == "cpu":
        raise Skipped(f"{wish.name} is for a GPU, and --device is cpu")


def _device(shop: Workshop) -> str:
    from tersely._io import resolve_device

    return str(resolve_device(shop.options.get("device") or "auto"))


def _limit(shop: Workshop, source: str) -> int:
    """Most tokens of a document that the dense model reads, as its classifier cuts it."""
    given = shop.options.get("max_length")
    return given or Classifier.from_pretrained(source, **shop.loading).limit


RECIPES: dict[str, Callable[[Wish, Workshop], Contender]] = {
    "pipeline": _pipeline,
    "sorted": _sorted,
    "tfidf": _tfidf,
    "static": _static,
    "onnx": lambda wish, shop: _onnx(wish, shop, "float32"),
    "onnx-int8": lambda wish, shop: _onnx(wish, shop, "int8"),
    "half": _half,
    "compiled": _compiled,
    "varlen": _varlen,
}
"""Names that are not presets, and what makes them."""
