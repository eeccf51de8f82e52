"""Presets: plans under the names of their papers, with the papers' defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from laconic.errors import PlanError
from laconic.reduction.actions import Combine, DropKeys, DropTokens
from laconic.reduction.plan import Plan, Step
from laconic.reduction.scorers import ColumnMean
from laconic.reduction.selectors import FuzzyRatio, Ratio

__all__ = ["preset", "preset_options", "preset_summary", "presets"]


def dense() -> Plan:
    """Nothing is removed: the encoder as it is, on packed batches."""
    return Plan("dense")


def focus_p(keep: float = 0.9, heads: str = "auto", drop: str = "keys", pin: str = "ends") -> Plan:
    """Token pruning by ratio, in every block (Focus on the Core, arXiv 2406.01283, P)."""
    select = Ratio(keep=keep, pin=pin)
    return Plan("focus-p", (_pruning(select, heads, drop, None),))


def focus_pf(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "layer",
    drop: str = "keys",
    pin: str = "ends",
) -> Plan:
    """Fuzzy token pruning, in every block (Focus on the Core, arXiv 2406.01283, PF)."""
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    return Plan("focus-pf", (_pruning(select, heads, drop, None),))


def focus_c(combine_at: int | float = 7 / 12, tokens: int = 8) -> Plan:
    """Token combining alone (Focus on the Core, arXiv 2406.01283, C)."""
    return Plan("focus-c", (Step(Combine(tokens=tokens), combine_at),))


def focus_pfc(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "layer",
    drop: str = "keys",
    pin: str = "ends",
    combine_at: int | float = 7 / 12,
    tokens: int = 8,
) -> Plan:
    """Fuzzy pruning before a combining block (Focus on the Core, arXiv 2406.01283, PFC).

    The block is the paper's fast variant, the seventh of twelve, since that is what saves time; its
    more careful one is `combine_at=11/12`.
    """
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    pruning = _pruning(select, heads, drop, combine_at)
    return Plan("focus-pfc", (pruning, Step(Combine(tokens=tokens), combine_at)))


def _pruning(select: Ratio, heads: str, drop: str, stop: int | float | None) -> Step:
    """The pruning step; `heads="auto"` gives each head its own keys where only keys go."""
    actions = {"keys": DropKeys, "tokens": DropTokens}
    if drop not in actions:
        raise PlanError(f"drop must be 'keys' or 'tokens', got {drop!r}")
    if drop == "tokens" and heads == "each":
        raise PlanError(
            "heads must be 'mean' with drop='tokens', since a token that leaves for good leaves "
            "all heads, got 'each'"
        )
    if heads == "auto":
        heads = "each" if drop == "keys" else "mean"
    score = ColumnMean(heads=heads)
    return Step(actions[drop](), {"start": 0, "stop": stop}, score, select)


_PRESETS: dict[str, Callable[..., Plan]] = {
    "dense": dense,
    "focus-p": focus_p,
    "focus-pf": focus_pf,
    "focus-c": focus_c,
    "focus-pfc": focus_pfc,
}


def presets() -> tuple[str, ...]:
    """The presets' names, sorted."""
    return tuple(sorted(_PRESETS))


def preset_options(name: str) -> dict[str, object]:
    """The options of a preset and their defaults."""
    return {key: p.default for key, p in inspect.signature(_find(name)).parameters.items()}


def preset_summary(name: str) -> str:
    """What a preset does, in one line."""
    return (inspect.getdoc(_find(name)) or "").partition("\n")[0]


def preset(name: str, **options: object) -> Plan:
    """Make the plan of a preset.

    Args:
        name: one of `presets()`.
        **options: the preset's settings; see its docstring.

    Raises:
        PlanError: for a preset or an option that does not exist; the message lists those that do.

    Example:
        >>> preset("focus-pfc", combine_at=0.5).combine.tokens
        8
    """
    make = _find(name)
    known = preset_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise PlanError(
            f"{unknown[0]!r} is not an option of {name!r}; "
            f"its options are {', '.join(known) or 'none'}"
        )
    return make(**options)


def _find(name: str) -> Callable[..., Plan]:
    if name not in _PRESETS:
        raise PlanError(f"the method must be one of {', '.join(presets())}, got {name!r}")
    return _PRESETS[name]
