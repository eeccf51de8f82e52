"""Options made of docstrings, so that a verb is a short function and a setting is described once.

What a verb's docstring describes under `Options:` becomes an option, and so does each field that a
dataclass describes under `Attributes:`; settings of training describe themselves by `metadata`.

    rate: The peak of the learning rate. [5e-5]        what the help shows as the default

A type may be `Annotated` with a mapping for typer, such as `{"metavar": "N", "min": 1}`.
"""

from __future__ import annotations

import functools
import inspect
import json
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from tersely.cli.messages import DEBUG, quiet_libraries, tell_warnings

MACHINE = "Output and machine"
RARE = "What few need"

T = TypeVar("T")
Rare = Annotated[T, {"panel": RARE}]
"""The type of a setting that few need: the last in the help."""

_FOR_TYPER = ("metavar", "min", "max", "envvar")


def option(name: str, text: str, panel: str | None, **more: Any) -> Any:
    """Return an option under its panel; a flag has the metavar "", or typer would name its type."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


_MODULE = "A Python module or file that registers methods of your own; repeatable."
Modules = Annotated[list[str] | None, option("--import", _MODULE, MACHINE, metavar="MODULE")]
_TRACEBACK = "Show the traceback of an error."
Debug = Annotated[bool, option("--debug", _TRACEBACK, MACHINE, metavar="", envvar="TERSELY_DEBUG")]


def spelled(name: str) -> str:
    """Return a setting's name as an option, such as `--batch-tokens`."""
    return "--" + name.replace("_", "-")


def is_given(ctx: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def split_pair(text: str, hint: str) -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`; `hint` is the option that it was given to."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} must be NAME=VALUE", param_hint=hint)
    return name.strip(), value.strip()


# ---- from a function to one with options ---------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """An option: a parameter of a verb, or a field of the dataclass that its parameter `owner` is.

    `about` holds what is said of it: `help`, `panel`, `shown`, `metavar`, `min`, `max`, `envvar`.
    """

    owner: str | None
    name: str
    hint: Any
    default: Any
    about: dict[str, Any]

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter that typer reads."""
        name, hint, default, about = spelled(self.name), self.hint, self.default, self.about
        more = {key: about[key] for key in _FOR_TYPER if key in about}
        kinds = get_args(hint) or (hint,)
        if hint is bool:
            more["metavar"] = ""
            name += f"/--no-{name[2:]}" if default else ""
        elif get_origin(hint) in (tuple, dict):
            if get_origin(hint) is dict:
                more["metavar"], kinds = "NAME=VALUE", (str,)
            hint, default = list[kinds[0]] | None, None
        else:
            more.setdefault("metavar", "N" if int in kinds else "X" if float in kinds else None)
        if "shown" in about:
            more["show_default"] = about["shown"]
        made = option(name, about["help"], about.get("panel"), **more)
        return _keyword(self.name, Annotated[hint, made], default)

    def value(self, given: Any) -> Any:
        """Return what was given in the field's own type."""
        if get_origin(self.hint) is dict:
            pairs = (split_pair(text, spelled(self.name)) for text in given or ())
            return {name: _as_json(text) for name, text in pairs}
        return tuple(given or ()) if get_origin(self.hint) is tuple else given


def _as_json(text: str) -> Any:
    """Return the number, truth value or list that a text is; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function for typer in which what its docstring describes are options.

    Parameters under `Options:` become options, and so do the fields of parameters that are
    dataclasses; `Annotated[Loop, ("epochs",)]` takes only those fields. Every verb has `--import`
    and `--debug` besides. `examples` of the result are those of the docstring.
    """
    hints = get_type_hints(function, include_extras=True)
    plain = inspect.signature(function).parameters
    texts = _described(function.__doc__, "Options")
    parameters, rare, settings = [], [], []
    for name, parameter in plain.items():
        if name in texts:
            found = [_setting(None, name, hints[name], parameter.default, texts[name])]
        else:
            found = list(_fields(name, hints[name]))
        settings += found
        for each in found:
            (rare if each.about.get("panel") == RARE else parameters).append(each.parameter())
        if not found:
            parameters.append(parameter.replace(annotation=hints[name]))
    # The help has its panels in the order in which they begin here.
    parameters += [_keyword("import_", Modules, None), _keyword("debug", Debug, False), *rare]
    if "ctx" not in plain:
        parameters.append(_keyword("ctx", typer.Context, inspect.Parameter.empty))

    @functools.wraps(function)
    def run(**values: Any) -> None:
        ctx, debug = values["ctx"], values["debug"]
        ctx.find_root().meta[DEBUG] = debug
        arguments = {name: values[name] for name in plain if name in values}
        owned: dict[str, dict[str, Any]] = {}
        for each in settings:
            into = arguments if each.owner is None else owned.setdefault(each.owner, {})
            into[each.name] = each.value(values[each.name])
        for owner, given in owned.items():
            kind = hints[owner] if is_dataclass(hints[owner]) else get_args(hints[owner])[0]
            arguments[owner] = kind(**given)
        with tell_warnings(ctx.command, everything=debug):
            if not debug:
                quiet_libraries()
            _prepare(values["import_"] or (), values.get("threads"))
            function(**arguments)

    del run.__wrapped__  # or typer would read the signature of `function`
    run.__signature__ = inspect.Signature(sorted(parameters, key=lambda each: each.kind))
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__, _, examples = inspect.cleandoc(function.__doc__).partition("\n\nExamples:\n")
    run.__doc__ = run.__doc__.partition("\n\nOptions:")[0]
    run.examples = [line.strip() for line in examples.splitlines()]
    return run


def _fields(owner: str, hint: Any) -> Iterator[Setting]:
    """Yield the options that a parameter becomes; none if its type is no dataclass."""
    only = None
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], tuple):
        hint, only = get_args(hint)
    if not is_dataclass(hint):
        return
    types, texts = get_type_hints(hint, include_extras=True), _described(hint.__doc__, "Attributes")
    for each in fields(hint):
        panel = getattr(hint, "panel", "Training") if each.metadata.get("common", True) else RARE
        about = {"panel": panel} | texts.get(each.name, {}) | dict(each.metadata)
        if "help" in about and (only is None or each.name in only):
            yield _setting(owner, each.name, types[each.name], each.default, about)


def _setting(owner: str | None, name: str, hint: Any, default: Any, about: dict) -> Setting:
    """Return a setting; what the hint says of it besides the type is part of `about`."""
    if get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        about = functools.reduce(operator.or_, more, about)
    return Setting(owner, name, hint, None if default is MISSING else default, about)


def _described(text: str, title: str) -> dict[str, dict[str, str]]:
    """Return what a section of a docstring says of each name.

    `out: Where to. [here]` becomes `{"out": {"help": "Where to.", "shown": "here"}}`.
    """
    section = inspect.cleandoc(text).partition(f"{title}:\n")[2].partition("\n\n")[0]
    found = {}
    for entry in re.split(r"\n(?=    \w)", section):
        name, _, said = " ".join(entry.split()).partition(": ")
        told, _, shown = said.partition(" [")
        found[name] = {"help": told} | ({"shown": shown.rstrip("]")} if shown else {})
    return found


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _prepare(modules: Iterable[str], threads: int | None) -> None:
    """Set torch's threads, and import a user's modules, here and in processes started later."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if not modules:
        return
    from tersely.reduction.parts import EXTENSIONS, load_extension

    known = filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep))
    # A file's whole path, since a worker may stand in another folder.
    paths = [str(Path(name).absolute()) if name.endswith(".py") else name for name in modules]
    os.environ[EXTENSIONS] = os.pathsep.join(dict.fromkeys([*known, *paths]))
    for name in paths:
        load_extension(name)


class Verb(TyperCommand):
    """A verb in which options whose metavar ends in `...` take all values up to the next one."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Parse `--models a --models b` where `--models a b` is typed."""
        several = {each.opts[0] for each in self.params if str(each.metavar).endswith("...")}
        words, current, fresh = [], "", False
        for word in args:
            if word.startswith("-"):
                current, fresh = word, True
            elif current in several and not fresh:
                words.append(current)
            else:
                fresh = False
            words.append(word)
        return super().parse_args(ctx, words)
