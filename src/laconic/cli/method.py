"""From `--method`, `--method-option` and `--plan` to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import typer

from laconic.errors import PlanError
from laconic.reduction import Plan, preset, preset_options

__all__ = ["make_plan"]


def make_plan(method: str, options: Sequence[str], plan: Path | None) -> Plan:
    """Make the plan of a preset with its options, or read one from a file.

    Args:
        method: a preset's name; not looked at if there is a file.
        options: `KEY=VALUE` each.
        plan: a JSON file, or None.

    Raises:
        PlanError: for a preset, an option, a value or a file that is wrong.

    Example:
        >>> make_plan("focus-c", ["combine_at=7/12", "tokens=4"], None).combine.tokens
        4
        >>> make_plan("topk", ["linear=true"], None).steps[0].select.kind
        'linear-ratio'
    """
    if plan is not None:
        return Plan.from_file(plan)
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
    return preset(method, **values)


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
