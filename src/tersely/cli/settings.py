"""Options made of docstrings, so that a verb is a short function and a setting is described once.

What a verb's docstring describes under `Options:` becomes an option, and so does each field that a
dataclass describes under `Attributes:`. `Rare` ones are hidden in the help: they are meant for
`--set NAME=VALUE` and the file of `--config`.

    rate: The peak of the learning rate. [5e-5]        what the help shows as the default

A type may be `Annotated` with a mapping for typer, such as `{"metavar": "N", "min": 1}`. Settings
of the library describe themselves by `metadata` instead: `help`, `common`, `shown`.
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
import yaml
from typer.core import TyperCommand

from tersely.cli.messages import DEBUG, quiet_libraries, tell_warnings
from tersely.errors import close_match

T = TypeVar("T")
Rare = Annotated[T, {"common": False}]
"""The type of a setting that few need."""

MACHINE = "Output and machine"
_NOT_IN_FILES = {"config", "help", "debug", "set"}
_FOR_TYPER = ("metavar", "min", "max", "envvar")
_NOTHING = ("", "~", "null")


def option(name: str, text: str, panel: str | None, **more: Any) -> Any:
    """Return an option under its panel; a flag has the metavar "", or typer would name its type."""
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


def spelled(name: str) -> str:
    """Return a setting's name as an option, such as `--batch-tokens`."""
    return "--" + name.replace("_", "-")


def is_given(ctx: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line or in a configuration file."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


# ---- from a function to one with options ---------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """An option: a parameter of a verb, or a field of the dataclass that its parameter `owner` is.

    `about` holds what is said of it: `help`, `panel`, `shown`, `common`, `metavar`, `min`, `max`.
    """

    owner: str | None
    name: str
    hint: Any
    default: Any
    about: dict[str, Any]

    @property
    def common(self) -> bool:
        """Whether the help shows it."""
        return self.about.get("common", True)

    def describe(self) -> str:
        """Return a line on it for the help."""
        default = self.about.get("shown", self.default)
        return f"{self.name} ({'none' if default in (None, ()) else default}): {self.about['help']}"

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter that typer reads."""
        name, hint, default, about = spelled(self.name), self.hint, self.default, self.about
        more = {key: about[key] for key in _FOR_TYPER if key in about}
        kinds = get_args(hint) or (hint,)
        if hint is bool:
            more["metavar"] = ""
            name += f"/--no-{name[2:]}" if default else ""
        elif get_origin(hint) in (tuple, dict):
            hint, default = list[str if get_origin(hint) is dict else kinds[0]] | None, None
        else:
            more.setdefault("metavar", "N" if int in kinds else "X" if float in kinds else None)
        if "shown" in about:
            more["show_default"] = about["shown"]
        made = option(name, about["help"], about.get("panel"), hidden=not self.common, **more)
        return _keyword(self.name, Annotated[hint, made], default)

    def value(self, given: Any) -> Any:
        """Return what was given in the field's own type."""
        if get_origin(self.hint) is dict:
            return {key: yaml.safe_load(text) for key, text in map(split_pair, given or ())}
        return tuple(given or ()) if get_origin(self.hint) is tuple else given


def split_pair(text: str, hint: str = "--set") -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} must be NAME=VALUE", param_hint=hint)
    return name.strip(), value.strip()


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function for typer in which what its docstring describes are options.

    Parameters under `Options:` become options, and so do the fields of parameters that are
    dataclasses; `Annotated[Loop, ("epochs",)]` takes only those fields. Every verb has `--import`
    and `--debug`, and, where there is anything to set, `--set` and `--config`. `settings` of the
    result are all that became options.
    """
    hints = get_type_hints(function, include_extras=True)
    plain = inspect.signature(function).parameters
    texts = _described(function.__doc__ or "", "Options")
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
    parameters += _shared_options(settings)
    if "ctx" not in plain:
        parameters.append(_keyword("ctx", typer.Context, inspect.Parameter.empty))

    @functools.wraps(function)
    def run(**values: Any) -> None:
        ctx, debug = values["ctx"], values["debug"]
        ctx.find_root().meta[DEBUG] = debug
        arguments = {name: values[name] for name in plain if name in values}
        for owner in {each.owner for each in settings}:
            own = [each for each in settings if each.owner == owner]
            given = {each.name: each.value(values[each.name]) for each in own}
            if owner is None:
                arguments |= given
            else:
                kind = hints[owner] if is_dataclass(hints[owner]) else get_args(hints[owner])[0]
                arguments[owner] = kind(**given)
        with tell_warnings(ctx.command, everything=debug):
            if not debug:
                quiet_libraries()
            _load_extensions(values["import_"] or ())
            if values.get("threads") is not None:
                import torch

                torch.set_num_threads(values["threads"])
            function(**arguments)

    del run.__wrapped__  # or typer would read the signature of `function`
    run.__signature__ = inspect.Signature(sorted(parameters, key=lambda each: each.kind))
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = inspect.cleandoc(function.__doc__ or "").partition("\n\nOptions:")[0]
    run.settings = settings
    return run


def _fields(owner: str, hint: Any) -> Iterator[Setting]:
    """Yield the options that a parameter becomes; none if its type is no dataclass."""
    only = None
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], tuple):
        hint, only = get_args(hint)
    if not is_dataclass(hint):
        return
    types, texts = get_type_hints(hint, include_extras=True), {}
    for kind in reversed(hint.__mro__):  # a class describes the fields that it adds
        panel = {"panel": vars(kind).get("panel", "Training")}
        for name, text in _described(kind.__doc__ or "", "Attributes").items():
            texts[name] = text | panel
    for each in fields(hint):
        about = {"panel": "Training"} | texts.get(each.name, {}) | dict(each.metadata)
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


def _shared_options(settings: Iterable[Setting]) -> list[inspect.Parameter]:
    """Return the options that all verbs have."""
    made = []
    rare = [each.name for each in settings if not each.common]
    if rare:
        text = f"A setting that few need; repeatable. These are {', '.join(rare)}."
        made.append(("set", list[str] | None, option("--set", text, MACHINE, metavar="NAME=VALUE")))
    if settings:
        text = "A YAML file with these names as keys; what is given here wins."
        more = {"metavar": "FILE.yaml", "callback": _load_config, "is_eager": True}
        made.append(("config", Path | None, option("--config", text, MACHINE, **more)))
    text = "A Python module or file that registers methods of your own; repeatable."
    taken = option("--import", text, MACHINE, metavar="MODULE")
    made.append(("import_", list[str] | None, taken))
    text = "Show the traceback of an error."
    shown = option("--debug", text, MACHINE, metavar="", envvar="TERSELY_DEBUG")
    return [
        *(_keyword(name, Annotated[hint, info], None) for name, hint, info in made),
        _keyword("debug", Annotated[bool, shown], False),
    ]


def _load_extensions(names: Iterable[str]) -> None:
    """Import a user's modules, here and in the processes that this one starts."""
    if not names:
        return
    from tersely.reduction.parts import EXTENSIONS, load_extension

    known = filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep))
    # A file's whole path, since a worker may stand in another folder.
    paths = [str(Path(name).absolute()) if name.endswith(".py") else name for name in names]
    os.environ[EXTENSIONS] = os.pathsep.join(dict.fromkeys([*known, *paths]))
    for name in paths:
        load_extension(name)


# ---- what is typed ------------------------------------------------------------------------------


class Verb(TyperCommand):
    """A verb whose `--set NAME=VALUE` is the option of that name, with the same checks and errors.

    Options whose metavar ends in `...` take all values up to the next option.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Rewrite what click does not know into what it does."""
        return super().parse_args(ctx, list(self._rewritten(args)))

    def _rewritten(self, args: list[str]) -> Iterator[str]:
        """Yield `--models a --models b` for `--models a b`, and `--seeds 3` for `--set seeds=3`."""
        several = {p.opts[0] for p in self.params if str(p.metavar).endswith("...")} - {None}
        words, current, fresh = iter(args), "", False
        for word in words:
            if word == "--set" or word.startswith("--set="):
                yield from self._set(word[6:] or next(words, ""))
                current = ""
                continue
            if word.startswith("-"):
                current, fresh = word, True
            elif current in several and not fresh:
                yield current
            else:
                fresh = False
            yield word

    def _set(self, text: str) -> Iterator[str]:
        name, value = split_pair(text)
        # `extra.lr_scheduler_type=cosine` is an entry of a setting that is a mapping.
        name, dot, entry = name.partition(".")
        known = {p.name: p for p in self.params if p.name not in _NOT_IN_FILES}
        found = known.get(name.replace("-", "_"))
        if found is None or not found.opts[0].startswith("-"):
            raise typer.BadParameter(_unknown(name, known), param_hint="--set")
        if getattr(found, "is_flag", False):
            yes = value.lower() in ("true", "yes", "1")
            if not yes and value.lower() not in ("false", "no", "0"):
                raise typer.BadParameter(f"{name} must be true or false, got {value!r}")
            yield from found.opts[:1] if yes else found.secondary_opts[:1]
            return
        yield found.opts[0]
        yield f"{entry}={value}" if dot else value


def _unknown(name: str, known: Iterable[str]) -> str:
    """Return a sentence on a name that is no setting."""
    names = sorted(each.rstrip("_").replace("_", "-") for each in known)
    close = close_match(name.replace("_", "-"), names)
    return f"{name!r} is not an option" + (close or f"; there are {', '.join(names)}")


def _load_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the values of a YAML file the defaults of a command; the callback of `--config`."""
    if path is None or ctx.resilient_parsing:
        return path
    # As it is typed, without dashes in front: not by the name that Python knows.
    known = {
        each.lstrip("-").replace("-", "_"): parameter
        for parameter in ctx.command.params
        if parameter.name not in _NOT_IN_FILES
        for each in parameter.opts
    }
    defaults: dict[str, Any] = {}
    for key, value in _read(path).items():
        found = known.get(str(key).replace("-", "_"))
        if found is None:
            raise typer.BadParameter(f"{path}: {_unknown(str(key), known)}")
        if value not in _NOTHING:  # a line that is left empty keeps the default
            several = getattr(found, "multiple", False)
            defaults[found.name] = _as_list(value) if several else value
    ctx.default_map = defaults
    return path


def _read(path: Path) -> dict[Any, Any]:
    """Return a file's lines, all values as texts: `no` is a name, and 010 is what stands there."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise typer.BadParameter(f"{path} is not valid YAML: {reason}") from None
    if content in _NOTHING or content is None:
        return {}
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{path} must hold lines such as 'epochs: 3', and does not")
    return content


def _as_list(value: Any) -> list[str]:
    """Return one value as a list of one, and a mapping (of method options) as NAME=VALUE texts."""
    if isinstance(value, dict):
        return [f"{key}={item}" for key, item in value.items()]
    return value if isinstance(value, list) else [value]
