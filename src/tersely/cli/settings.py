"""Options made of docstrings, so that a verb is a short function and a setting is described once.

What a verb's docstring describes under `Options:` becomes an option, and so does each field that a
dataclass describes under `Attributes:`; settings of training describe themselves by `metadata`.
`Rare` ones are not in the help: they are meant for `--set NAME=VALUE` and the file of `--config`.

    rate: The peak of the learning rate. [5e-5]        what the help shows as the default

A type may be `Annotated` with a mapping for typer, such as `{"metavar": "N", "min": 1}`.
"""

import functools
import inspect
import json
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from tersely.cli.messages import DEBUG, quiet_libraries, tell_load, tell_warnings
from tersely.errors import close_match

MACHINE = "Output and machine"

T = TypeVar("T")
Rare = Annotated[T, {"common": False}]
"""The type of a setting that few need."""

_FOR_TYPER = ("metavar", "min", "max", "envvar")
_ENTRY = "NAME=VALUE"


def option(name: str, text: str, panel: str | None, **more: Any) -> Any:
    """Return an option under its panel; a flag has the metavar "", or typer would name its type."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


_MODULE = "A Python module or file that registers methods of your own; repeatable."
Modules = Annotated[list[str] | None, option("--import", _MODULE, MACHINE, metavar="MODULE")]
_TRACEBACK = "Show the traceback of an error."
Debug = Annotated[bool, option("--debug", _TRACEBACK, MACHINE, metavar="", envvar="TERSELY_DEBUG")]


def is_given(ctx: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line, in `--set` or in a file."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def split_pair(text: str) -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} must be {_ENTRY}")
    return name.strip(), value.strip()


def _as_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fill(ctx: typer.Context, given: Iterable[tuple[str, Any]], *, below: bool) -> None:
    """Make values defaults of a verb's options, above or below those that are there already.

    Of an option that takes NAME=VALUE each entry is one of its own: `extra.lr_scheduler_type`.
    """
    own = [each for each in ctx.command.params if each.name not in ("set", "config", "debug")]
    known = {name[2:]: each for each in own for name in each.opts if name.startswith("--")}
    taken: dict[str, Any] = {}
    for whole, value in given:
        name, dot, entry = whole.partition(".")
        found = known.get(name.replace("_", "-"))
        if found is None or (dot and found.metavar != _ENTRY):
            near = close_match(name.replace("_", "-"), known)
            raise typer.BadParameter(f"there is no option {whole!r}{near}")
        texts = value if isinstance(value, list) and found.multiple else [value]
        if not all(isinstance(text, str) for text in texts):
            raise typer.BadParameter(f"{whole} must be one value, got {value}")
        if dot:
            texts = [f"{entry}={text}" for text in texts]
        taken[found.name] = taken.get(found.name, []) + texts if found.multiple else value
    layers = [taken, ctx.default_map or {}] if below else [ctx.default_map or {}, taken]
    ctx.default_map = layers[0] | layers[1]
    for name in (each.name for each in own if each.metavar == _ENTRY):
        ctx.default_map[name] = [text for layer in layers for text in layer.get(name, ())]


def _fill_from_pairs(ctx: typer.Context, value: list[str] | None) -> list[str] | None:
    _fill(ctx, map(split_pair, value or ()), below=False)
    return value


def _fill_from_file(ctx: typer.Context, value: Path | None) -> Path | None:
    if value is None:
        return None
    import yaml  # as transformers has it

    try:
        # All values as texts: `no` may be the name of a column, and 010 is what stands there.
        lines = (yaml.load(value.read_text("utf-8"), yaml.BaseLoader) or {}).items()
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        text = f"{value} must be a YAML file of lines such as 'epochs: 3' ({error})"
        raise typer.BadParameter(text) from None
    given = []
    for name, said in lines:
        entries = said.items() if isinstance(said, dict) else ()
        given += [(f"{name}.{entry}", text) for entry, text in entries] or [(name, said)]
    # A line that is left empty keeps the default.
    _fill(ctx, [(name, said) for name, said in given if said], below=True)
    return value


_SET = "An option's value, as what stands in a file; repeatable."
_FILE = "A YAML file of options, such as the line 'epochs: 3'; what is given here stands above it."
_FILLS = {"metavar": "FILE", "callback": _fill_from_file, "is_eager": True}
Config = Annotated[Path | None, option("--config", _FILE, MACHINE, **_FILLS)]


@dataclass(frozen=True)
class Setting:
    """An option: a parameter of a verb, or a field of the dataclass that its parameter `owner` is.

    `about`: its `help`, `panel`, `shown`, `common`, `metavar`, `min`, `max` and `envvar`.
    """

    owner: str | None
    name: str
    hint: Any
    default: Any
    about: dict[str, Any]

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter that typer reads."""
        hint, default, about = self.hint, self.default, self.about
        name = "--" + self.name.replace("_", "-")
        more = {key: about[key] for key in _FOR_TYPER if key in about}
        kinds = get_args(hint) or (hint,)
        if hint is bool:
            more["metavar"] = ""
            name += f"/--no-{name[2:]}" if default else ""
        elif get_origin(hint) in (tuple, dict):
            if get_origin(hint) is dict:
                more["metavar"], kinds = _ENTRY, (str,)
            hint, default = list[kinds[0]] | None, None
        else:
            more.setdefault("metavar", "N" if int in kinds else "X" if float in kinds else None)
        if float in kinds and int not in kinds:
            more["parser"] = _number(more.pop("min", -math.inf), more.pop("max", math.inf))
        if "shown" in about:
            more["show_default"] = about["shown"]
        more["hidden"] = not about.get("common", True)
        made = option(name, about["help"], about.get("panel"), **more)
        return _keyword(self.name, Annotated[hint, made], default)

    def value(self, given: Any, below: Any) -> Any:
        """Return what was given in the field's own type; entries come on top of those `below`."""
        if get_origin(self.hint) is dict or self.about.get("metavar") == _ENTRY:
            given = [*(below or ()), *(given or ())]
        if get_origin(self.hint) is dict:
            return {name: _as_json(text) for name, text in map(split_pair, given)}
        return tuple(given or ()) if get_origin(self.hint) is tuple else given


def _number(least: float, most: float) -> Callable[[Any], float]:
    """Return what reads a number of a range; a share may be a percentage, such as `0.5%`."""

    def number(given: Any) -> float:
        text = str(given)
        try:
            value = float(f"{text[:-1]}e-2" if text.endswith("%") else text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a number") from None
        if not least <= value <= most:
            raise typer.BadParameter(f"{text} must be from {least:g} to {most:g}; 1 is 100%")
        return value

    return number


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function for typer in which what its docstring describes are options.

    Parameters under `Options:` become options, and so do the fields of parameters that are
    dataclasses; `Annotated[Loop, ("epochs",)]` takes only those fields. Every verb has `--import`
    and `--debug` besides, and `--set` and `--config` where there is anything to set. `examples` of
    the result are those of the docstring.
    """
    hints = get_type_hints(function, include_extras=True)
    plain = inspect.signature(function).parameters
    texts = _described(function.__doc__, "Options")
    parameters, settings = [], []
    for name, parameter in plain.items():
        if name in texts:
            found = [_setting(None, name, hints[name], parameter.default, texts[name])]
        else:
            found = list(_fields(name, hints[name]))
        settings += found
        parameters += [each.parameter() for each in found]
        if not found:
            parameters.append(parameter.replace(annotation=hints[name]))
    if settings:
        rare = ", ".join(each.name for each in settings if not each.about.get("common", True))
        text = _SET + (f" Those that few need are {rare}." if rare else "")
        more = {"metavar": _ENTRY, "callback": _fill_from_pairs, "is_eager": True}
        pairs = Annotated[list[str] | None, option("--set", text, MACHINE, **more)]
        parameters += [_keyword("set", pairs, None), _keyword("config", Config, None)]
    parameters += [_keyword("import_", Modules, None), _keyword("debug", Debug, False)]
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
            into[each.name] = each.value(values[each.name], (ctx.default_map or {}).get(each.name))
        for owner, given in owned.items():
            kind = hints[owner] if is_dataclass(hints[owner]) else get_args(hints[owner])[0]
            arguments[owner] = kind(**given)
        with tell_warnings(ctx.command, everything=debug):
            if not debug:
                quiet_libraries()
            _prepare(values["import_"] or (), values)
            function(**arguments)

    del run.__wrapped__  # or typer would read the signature of `function`
    run.__signature__ = inspect.Signature(sorted(parameters, key=lambda each: each.kind))
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__, _, examples = inspect.cleandoc(function.__doc__).partition("\n\nExamples:\n")
    run.__doc__ = run.__doc__.partition("\n\nOptions:")[0]
    run.examples = [line.strip() for line in examples.splitlines()]
    return run


def _fields(owner: str, hint: Any) -> Iterator[Setting]:
    only = None
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], tuple):
        hint, only = get_args(hint)
    if not is_dataclass(hint):
        return
    types, texts = get_type_hints(hint, include_extras=True), _described(hint.__doc__, "Attributes")
    for each in fields(hint):
        panel = {"panel": getattr(hint, "panel", "Training")}
        about = panel | texts.get(each.name, {}) | dict(each.metadata)
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


def _prepare(modules: Iterable[str], values: dict[str, Any]) -> None:
    """Set torch's threads, and import a user's modules, here and in processes started later."""
    if "threads" in values:  # it computes
        tell_load()
    if (threads := values.get("threads")) is not None:
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
