"""From `--method-option` to the options of a preset."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import typer

from tersely.errors import PlanError
from tersely.reduction import preset_options

__all__ = ["read_options"]


def read_options(method: str, options: Sequence[str]) -> dict[str, object]:
    """The options of a preset, in the types of their defaults.

    Args:
        method: a preset's name.
        options: `KEY=VALUE` each.

    Raises:
        PlanError: for a preset or a value that is wrong.

    Example:
        >>> read_options("focus-c", ["combine_at=7/12", "tokens=4"])["tokens"]
        4
        >>> read_options("topk", ["linear=true"])
        {'linear': True}
    """
    defaults = preset_options(method)
    values: dict[str, object] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"{option!r} must be KEY=VALUE, for example keep=0.8", param_hint="--method-option"
            )
        key = key.strip().replace("-", "_")
        values[key] = _typed(key, text.strip(), defaults.get(key))
    return values


def _typed(key: str, text: str, default: object) -> object:
    """The value in the type of the option's default; one without a default is refused later."""
    if default is None or isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise PlanError(f"{key} must be true or false, got {text!r}")
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        # A fraction, because places in the depth are given as 7/12.
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise PlanError(f"{key} must be a number such as {default:.3g}, got {text!r}") from None
