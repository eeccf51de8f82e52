"""Presets: plans under the names of their papers, registered by the files of their methods.

A preset is a function from options to a plan, with the papers' defaults. It is registered with the
option that moves its cost, and with examples on which every method's behaviours are tested. What
the command line, budgets, the tables of the documentation and the tests know of a method, they know
from here.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from tersely.errors import PlanError, close_match
from tersely.reduction.parts import Budget, Part, Range, check, load_methods
from tersely.reduction.plan import Plan
from tersely.reduction.step import Step, resolve_blocks

Maker = Callable[..., Plan]


@dataclass(frozen=True)
class Preset:
    """A registered preset; see `register_preset` for its fields."""

    name: str
    make: Maker
    budget: Budget | None = None
    examples: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    nothing: Mapping[str, object] | None = None

    @property
    def options(self) -> dict[str, object]:
        """Its options and their defaults."""
        return {key: p.default for key, p in inspect.signature(self.make).parameters.items()}

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @property
    def is_measured(self) -> bool:
        """Whether it is one of the package's first-class methods, which are measured."""
        module = self.make.__module__
        return module.startswith("tersely.methods.") and ".contrib." not in module


_PRESETS: dict[str, Preset] = {}


def register_preset(
    name: str,
    *,
    budget: Budget | None = None,
    examples: Mapping[str, Mapping[str, object]] | None = None,
    nothing: Mapping[str, object] | None = None,
) -> Callable[[Maker], Maker]:
    """Register a function that makes a plan as a preset; a decorator.

    Args:
        name: what users call it.
        budget: the option that moves its cost, for `--target-flops`; None where there is none.
        examples: options under which the method does something to encoders of four blocks and
            documents of some ten tokens, by a name of each (`""` for the first): what the shared
            behaviours are tested on. None for the defaults.
        nothing: options that, laid over an example's, remove nothing; None where there are none.

    Raises:
        ValueError: for a name that is taken or is not of small letters, digits and hyphens, an
            option that the function does not have, or a function without a line of documentation.
    """

    def decorate(make: Maker) -> Maker:
        new = Preset(name, make, budget, examples or {"": {}}, nothing)
        _check(new)
        _PRESETS[name] = new
        return make

    return decorate


def _check(new: Preset) -> None:
    known = _PRESETS.get(new.name)
    if known is not None and known.make.__qualname__ != new.make.__qualname__:
        raise ValueError(f"the preset {new.name!r} exists already in {known.make.__module__}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", new.name):
        raise ValueError(f"a preset's name may have only a-z, 0-9 and hyphens, got {new.name!r}")
    if not new.summary:
        raise ValueError(f"the preset {new.name!r} needs a docstring that says what it does")
    names = {option for options in new.examples.values() for option in options}
    names |= {*(new.nothing or ())} | ({new.budget.option} if new.budget else set())
    unknown = sorted(names - set(new.options))
    if unknown:
        told = f"whose options are {', '.join(new.options) or 'none'}"
        raise ValueError(f"{unknown[0]!r} must be an option of the preset {new.name!r}, {told}")


def find_preset(name: str) -> Preset:
    """Return what is registered under a name; a PlanError lists the names that there are."""
    known = presets()
    if name not in known:
        raise PlanError(
            f"the method must be one of {', '.join(known)}, got {name!r}{close_match(name, known)}"
        )
    return _PRESETS[name]


def presets() -> tuple[str, ...]:
    """Return the presets' names, sorted."""
    load_methods()
    return tuple(sorted(_PRESETS))


def preset(name: str, **options: object) -> Plan:
    """Make the plan of a preset.

    Args:
        name: one of `presets()`.
        **options: the preset's settings; see its docstring.

    Raises:
        PlanError: for a preset or an option that does not exist; the message lists those that do.

    Example:
        >>> len(preset("focus-pfc", combine_at=0.5).steps)
        2
    """
    found = find_preset(name)
    unknown = sorted(set(options) - set(found.options))
    if unknown:
        told = f"its options are {', '.join(found.options) or 'none'}"
        raise PlanError(f"{unknown[0]!r} is not an option of {name!r}; {told}")
    return found.make(**options)


def read_options(name: str, given: Mapping[str, str]) -> dict[str, object]:
    """Return options of a preset that stand as text; what is no value of theirs, it refuses."""
    defaults = find_preset(name).options
    words = {key for key, default in defaults.items() if isinstance(default, str)}
    found = {key: text if key in words else read_value(text) for key, text in given.items()}
    for key, value in found.items():
        if isinstance(defaults.get(key), bool):
            check(isinstance(value, bool), key, "true or false", value)
    return found


def read_value(text: str) -> object:
    """Return what a text spells: a number, also as a fraction, true or false, or itself.

    Example:
        >>> read_value("8"), read_value("1/4"), read_value("true"), read_value("mean")
        (8, 0.25, True, 'mean')
    """
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return {"true": True, "false": False}.get(text.lower(), text)
    return int(value) if value.denominator == 1 else float(value)


def budget_option(name: str, depth: int) -> tuple[str, Range | tuple[float, ...]]:
    """Return the option of a preset that moves its cost, and its values on so many blocks."""
    found = find_preset(name)
    if found.budget is None:
        able = [each for each in presets() if _PRESETS[each].budget is not None]
        raise PlanError(f"target_flops needs one of the methods {', '.join(able)}, got {name!r}")
    values = found.budget.at(depth)
    if not values:
        raise PlanError(f"{name!r} reaches no target_flops with {depth} blocks; use another method")
    return found.budget.option, values


def plan_share(plan: Plan, depth: int) -> tuple[str, float, Range | tuple[float, ...]]:
    """Return the share of a plan for so many blocks, whatever preset or file it came from.

    It is its name, its value (that of the first step that has it), and the `Range` in which it
    makes sense; a plain tuple of all values that differ where whole blocks are left out.

    Example:
        >>> plan_share(preset("tome"), 12)
        ('ratio', 0.2, Range(low=0.0, high=0.5))
    """
    for step, part in _shares(plan):
        name, blocks = part.budget.option, len(resolve_blocks(step.blocks, depth))
        return name, getattr(part, name), part.budget.at(blocks)
    raise PlanError(
        "a budget needs a plan that keeps a share of the tokens or blocks, which can be changed, "
        f"got {plan.name!r}"
    )


def has_share(plan: Plan) -> bool:
    """Return whether `plan_share` finds one."""
    return bool(_shares(plan))


def _shares(plan: Plan) -> list[tuple[Step, Part]]:
    parts = [(step, part) for step in plan.steps for part in step.parts.values()]
    return [(step, part) for step, part in parts if part.budget is not None]


def with_share(plan: Plan, **shares: float) -> Plan:
    """Return the plan with another share, in every step that has one of this name.

    Example:
        >>> with_share(preset("topk"), keep=0.5) == preset("topk", keep=0.5)
        True
    """
    known = dict.fromkeys(part.budget.option for _, part in _shares(plan))
    for name, value in shares.items():
        if name not in known:
            told = f"what can be changed is {', '.join(known) or 'nothing'}"
            raise PlanError(f"{name} cannot be changed in the plan {plan.name!r}; {told}")
        steps = []
        for step in plan.steps:
            own = {r: p for r, p in step.parts.items() if p.budget and p.budget.option == name}
            changed = {role: replace(part, **{name: value}) for role, part in own.items()}
            steps.append(replace(step, **changed))
        plan = replace(plan, steps=tuple(steps))
    return plan


def name_untrained(trained: Plan, now: Plan, depth: int) -> str | None:
    """Say that a model that was trained under one plan runs under another.

    None where it was trained for that: the plans are the same, or the share is inside the range
    that training drew from.
    """
    before, after = _spell(trained, depth), _spell(now, depth)
    ranged = now.is_randomised
    if not (after[1] < before[1] if ranged else now != trained):
        return None
    what = "down to" if ranged else "with"
    advice = (
        ""
        if ranged
        else ", or train for a range of budgets (method lat, or choose with random_budgets)"
    )
    return (
        f"the model was trained {what} {before[0]} and runs with {after[0]}, so it may be "
        f"less accurate; compare with tersely evaluate{advice}"
    )


def _spell(plan: Plan, depth: int) -> tuple[str, float]:
    if not has_share(plan):
        return f"numbers of its own at each block ({plan.name})", 0.0
    name, value, _ = plan_share(plan, depth)
    return f"{name}={value:.3g}", value
