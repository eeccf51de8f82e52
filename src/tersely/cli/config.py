"""A YAML file in place of options: the same names, and what stands on the command line wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
import yaml

from tersely.errors import close_match

__all__ = ["load_config"]

_NEVER = {"config", "help", "debug"}


def load_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the values of a YAML file the defaults of a command; the callback of `--config`.

    Raises:
        typer.BadParameter: if the file cannot be read, or names what is not an option.
    """
    if path is None or ctx.resilient_parsing:
        return path
    known = {
        option: parameter
        for parameter in ctx.command.params
        if parameter.name not in _NEVER
        for option in _spell(parameter)
    }
    found: dict[str, Any] = {}
    for key, value in _read(path).items():
        parameter = known.get(str(key).replace("_", "-"))
        if parameter is None:
            options = sorted(known)
            raise typer.BadParameter(
                f"{path} names {str(key)!r}, which is not an option of {ctx.info_name}"
                f"{close_match(str(key), options) or ', whose options are ' + ', '.join(options)}"
            )
        found[parameter.name] = _as_list(value) if _takes_several(parameter) else value
    # An option that is left empty in the file keeps its default.
    ctx.default_map = {name: value for name, value in found.items() if value is not None}
    return path


def _read(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise typer.BadParameter(f"{path} is not valid YAML: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{path} must hold lines such as 'epochs: 3', and does not")
    return content


def _spell(parameter: Any) -> list[str]:
    """A parameter as it is typed, without dashes in front: not by the name that Python knows."""
    return [each.lstrip("-").replace("_", "-") for each in parameter.opts]


def _takes_several(parameter: Any) -> bool:
    return bool(getattr(parameter, "multiple", False))


def _as_list(value: Any) -> list[Any] | None:
    """One value as a list of one, and a mapping (of method options) as KEY=VALUE texts."""
    if isinstance(value, dict):
        return [f"{key}={item}" for key, item in value.items()]
    return value if value is None or isinstance(value, list) else [value]
