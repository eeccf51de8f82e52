"""The parts of a plan: frozen dataclasses with a kind, checked fields, and a form in JSON.

Registering makes a scorer, a selector or an action known to `Plan.from_dict`; nothing else has to
change. What a part needs besides, it brings along: modules that learn, a loss, stages of training,
the one number that moves its cost.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

from torch import Tensor, nn

from tersely.errors import PlanError

if TYPE_CHECKING:
    from tersely.reduction.plan import Plan, Stage

_REGISTRY: dict[str, dict[str, type[Part]]] = {}
EXTENSIONS = "TERSELY_IMPORT"
"""The variable of the environment that names modules of somebody else's, as `os.pathsep` lists."""

PartType = TypeVar("PartType", bound="type[Part]")


class Range(NamedTuple):
    """The two ends between which a number may lie anywhere; a plain tuple lists its values."""

    low: float
    high: float


class Budget(NamedTuple):
    """The one number that moves what a part or a preset costs.

    Its values are a `Range`, or a function from a number of blocks to a tuple of all that it has.
    """

    option: str  # its name
    values: Range | Callable[[int], tuple[float, ...]]

    def at(self, blocks: int) -> Range | tuple[float, ...]:
        """Return the values where so many blocks are concerned."""
        return self.values if isinstance(self.values, Range) else self.values(blocks)


class Learned(nn.Module):
    """What a part learns at one block."""

    learning_rate: ClassVar[float | None] = None  # its peak, not decayed; None for the encoder's

    def start(self) -> None:
        """Set the weights to what training starts from."""
        raise TypeError(f"{type(self).__name__} must define start, which sets its first weights")

    def start_from(self, backbone: Any, block: int, separator: int | None) -> None:
        """Start from a pretrained encoder's block, where that is better than `start`.

        `backbone` has all of its blocks still; `separator` is the id of [SEP], if there is one.
        """


@dataclasses.dataclass(frozen=True)
class Spent:
    """What a forward pass in training took, scalars, differentiable in what selectors learn."""

    ratio: Tensor  # MACs over those of the dense model on the same documents
    masks: list[Tensor]  # the mean mask of each block that has one
    shares: list[Tensor]  # of the pairs that are connected, of blocks whose pattern is learned


@dataclasses.dataclass(frozen=True)
class Part:
    """One setting of a plan, of a role (`"score"`, `"select"`, `"act"`) and a kind.

    Its fields are its settings, and stand in JSON; what has no annotation is the class's own. Its
    budget is the field that moves its cost and no weights: a trained model runs at other values.
    """

    role: ClassVar[str]
    kind: ClassVar[str]
    learns: ClassVar[bool] = False  # anything in training that its plan is not usable without
    budget: ClassVar[Budget | None] = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and field.metadata:
                value = list(value)  # as JSON gives it back
                object.__setattr__(self, field.name, value)
            if field.metadata and not (value is None and field.default is None):
                right = field.metadata["right"](value)
                check(right, field.name, field.metadata["expected"], value)

    def module(self, width: int, heads: int) -> Learned | None:
        """Return what it learns at one block of an encoder of this width and number of heads."""
        return None

    def stages(self, plan: Plan) -> Sequence[Stage]:
        """Return the stages of training that have to come before its plan's own."""
        return ()

    def penalty(self, spent: Spent) -> Tensor | None:
        """Return what it adds to the loss for what a forward pass took, a scalar, or None."""
        return None

    def at_block(self, number: int, count: int) -> Self:
        """Return the part at the `number`-th, from 1, of a step's `count` blocks."""
        return self

    def frozen(self, modules: Sequence[Learned | None]) -> Part:
        """Return the part that does the same with what it learned written down as plain numbers.

        `modules` are what it learned, at each of the step's blocks. A part of which this cannot be
        written down returns itself.
        """
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the part as JSON writes it: its kind and all of its fields."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **fields}

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Rebuild a part, at `where` in the plan; fields that are left out get their defaults."""
        load_methods()
        known = _REGISTRY.get(cls.role, {})
        if not isinstance(data, dict) or "kind" not in data:
            raise PlanError(f"{where} must be an object with a field 'kind', got {data!r}")
        kind = data["kind"]
        if not isinstance(kind, str) or kind not in known:
            raise PlanError(f"{where}.kind must be one of {', '.join(sorted(known))}, got {kind!r}")
        part, given = known[kind], {name: data[name] for name in data if name != "kind"}
        check_names(given, [field.name for field in dataclasses.fields(part)], where, repr(kind))
        try:
            return part(**given)
        except PlanError as error:
            raise PlanError(f"{where}.{error}") from None


@dataclass_transform(frozen_default=True)
def register(kind: str) -> Callable[[PartType], PartType]:
    """Make a class a frozen dataclass and a part that is known by its role and this kind."""

    def decorate(part: PartType) -> PartType:
        kinds = _REGISTRY.setdefault(part.role, {})
        if kind in kinds and kinds[kind].__qualname__ != part.__qualname__:
            raise ValueError(f"the {part.role} {kind!r} exists already: {kinds[kind]}; rename it")
        part.kind = kind
        kinds[kind] = dataclasses.dataclass(frozen=True)(part)
        return kinds[kind]

    return decorate


@functools.cache
def load_methods() -> None:
    """Import the package's own methods, so that they register.

    They are plug-ins of this framework: it knows none of them by name, and looks for them when a
    kind or a preset is asked for.
    """
    importlib.import_module("tersely.methods")
    for name in filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep)):
        load_extension(name)


def load_extension(name: str) -> None:
    """Import a module of somebody else's, by its name or its file, so that its parts register."""
    path = Path(name)
    own = path.stem if path.suffix == ".py" else name
    if own in sys.modules:
        return
    try:
        if path.suffix != ".py":
            importlib.import_module(name)
            return
        spec = importlib.util.spec_from_file_location(own, path)
        sys.modules[own] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[own])
    # Every exception: it is somebody else's code, and whatever it raises is why.
    except Exception as error:
        sys.modules.pop(own, None)
        said = f"{name} cannot be imported: {error!r}; correct it, or leave it out"
        raise PlanError(said) from error


def check(condition: bool, field: str, expected: str, got: Any) -> None:
    """Raise the `PlanError` of a field unless the condition holds."""
    if not condition:
        raise PlanError(f"{field} must be {expected}, got {got!r}")


def check_names(given: Iterable[str], names: Sequence[str], where: str, what: str) -> None:
    """Raise a `PlanError` for a field in JSON that there is not."""
    unknown = sorted(set(given) - set(names))
    if unknown:
        told = f"its fields are {', '.join(names) or 'none'}"
        raise PlanError(f"{where}.{unknown[0]} is not a field of {what}; {told}")


def checked(default: Any, expected: str, right: Callable[[Any], bool]) -> Any:
    """Declare a field of a part that must be `expected`, "a number" say; `right` tests a value.

    None is right wherever it is the default. The same holds for `number` and those below.
    """
    return dataclasses.field(default=default, metadata={"expected": expected, "right": right})


def number(default: float | None, low: float, high: float, *, open_low: bool = False) -> Any:
    """Declare a field of a part that holds a number in `[low, high]`, or in `(low, high]`."""

    def right(value: Any) -> bool:
        is_number = is_whole(value) or isinstance(value, float)
        return is_number and (low < value if open_low else low <= value) and value <= high

    return checked(default, f"a number in {'(' if open_low else '['}{low:g}, {high:g}]", right)


def numbers(high: float) -> Any:
    """Declare a field of a part that holds None or a list of numbers in `[0, high]`."""
    right, expected = number(None, 0, high).metadata["right"], f"a list of numbers in [0, {high:g}]"
    return checked(None, expected, lambda v: isinstance(v, list) and v and all(map(right, v)))


def whole(default: int | None, least: int | None = 1) -> Any:
    """Declare a field of a part that holds a whole number, of at least `least` if given."""
    tail = {None: "", 1: " above 0"}.get(least, f" of {least} or more")
    lowest = -math.inf if least is None else least
    return checked(default, f"a whole number{tail}", lambda v: is_whole(v) and v >= lowest)


def flag(default: bool) -> Any:
    """Declare a field of a part that holds true or false."""
    return checked(default, "true or false", lambda value: isinstance(value, bool))


def one_of(*words: str, default: str) -> Any:
    """Declare a field of a part that holds one of these words."""
    spelled = " or ".join([", ".join(map(repr, words[:-1])), repr(words[-1])])
    return checked(default, spelled, words.__contains__)


def is_whole(value: Any) -> bool:
    """Return whether `value` is a whole number, and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)
