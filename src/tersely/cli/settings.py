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
_TRUTH = dict.fromkeys(("yes", "true", "on", "1"), True)
_TRUTH |= dict.fromkeys(("no", "false", "off", "0"), False)


def option(name: str, text: str, panel: str | None, **more: Any) -> Any:
    """Return an option under its panel; a flag has the metavar "", or typer would name its type."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


_MODULE = "A Python module or file that registers your own methods; repeatable."
Modules = Annotated[list[str] | None, option("--import", _MODULE, MACHINE, metavar="MODULE")]
_TRACEBACK = "Show the traceback of an error."
Debug = Annotated[bool, option("--debug", _TRACEBACK, MACHINE, metavar="", envvar="TERSELY_DEBUG")]


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


def _read_file(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a YAML file, of a mapping its entries."""
    import yaml  # as transformers has it

    try:
        # All values as texts: `no` may be the name of a column, and 010 is what stands there.
        lines = (yaml.load(path.read_text("utf-8"), yaml.BaseLoader) or {}).items()
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        text = f"{path} must be a YAML file of lines such as 'epochs: 3' ({error})"
        raise typer.BadParameter(text) from None
    for name, said in lines:
        if isinstance(said, dict):
            yield from ((f"{name}.{entry}", text) for entry, text in said.items())
        elif said:  # a line that is left empty keeps the default
            yield name, said


_SET = "Set an option by name, as in a file; repeatable."
_FILE = "A YAML file of options, such as the line 'epochs: 3'; the command line overrides it."
Config = Annotated[Path | None, option("--config", _FILE, MACHINE, metavar="FILE")]


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

    def value(self, given: Any) -> Any:
        """Return what was given in the field's own type."""
        if get_origin(self.hint) is dict:
            return {name: _as_json(text) for name, text in map(split_pair, given or ())}
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
        text = _SET + (f" Advanced options: {rare}." if rare else "")
        pairs = Annotated[list[str] | None, option("--set", text, MACHINE, metavar=_ENTRY)]
        parameters += [_keyword("set", pairs, None), _keyword("config", Config, None)]
    parameters += [_keyword("import_", Modules, None), _keyword("debug", Debug, False)]
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
    """A verb that takes options also from `--set` and a file: as if they stood in front.

    An option whose metavar ends in `...` takes all values up to the next one.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Parse what is typed, after what stands in `--set` and in the file."""
        args = self._spread(args)
        typed = self.make_parser(ctx).parse_args(list(args))[0]
        pairs, file = map(split_pair, typed.get("set") or ()), typed.get("config")
        given = set(typed)
        for layer in (pairs, _read_file(Path(file)) if file else ()):
            found = [self._found(name, value) for name, value in layer]
            # Of an option that takes NAME=VALUE each entry is one of its own.
            kept = [
                each for each in found if each[0].metavar == _ENTRY or each[0].name not in given
            ]
            args = [word for _, words in kept for word in words] + args
            given |= {each.name for each, _ in found}
        return super().parse_args(ctx, args)

    def _spread(self, args: list[str]) -> list[str]:
        """Return `--models a --models b` where `--models a b` is typed."""
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
        return words

    def _found(self, whole: str, value: Any) -> tuple[Any, list[str]]:
        """Return an option by its name, `extra.NAME` for an entry, and what would be typed."""
        own = [each for each in self.params if each.name not in ("set", "config", "debug")]
        known = {name[2:]: each for each in own for name in each.opts if name.startswith("--")}
        name, dot, entry = whole.partition(".")
        found = known.get(name := name.replace("_", "-"))
        if found is None or (dot and found.metavar != _ENTRY):
            raise typer.BadParameter(f"there is no option {whole!r}{close_match(name, known)}")
        texts = value if isinstance(value, list) and found.multiple else [value]
        if not all(isinstance(text, str) for text in texts):
            raise typer.BadParameter(f"{whole} must be one value, got {value}")
        if found.is_flag:
            if value.lower() not in _TRUTH:
                raise typer.BadParameter(f"--{name} must be yes or no, got {value!r}")
            return found, (found.opts if _TRUTH[value.lower()] else found.secondary_opts)[:1]
        return found, [f"--{name}={f'{entry}=' * bool(dot)}{text}" for text in texts]
