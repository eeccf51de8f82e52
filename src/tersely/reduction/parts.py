"""The parts of a plan: frozen dataclasses with a kind, checked fields, and a form in JSON.

A scorer, a selector or an action is one dataclass. `kind` names it in JSON; its fields are its
settings. Registering makes it known to `Plan.from_dict`; nothing else has to change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeVar

from tersely.errors import PlanError
from tersely.reduction.learned import Learned

__all__ = ["Part", "check", "register"]

_REGISTRY: dict[str, dict[str, type[Part]]] = {}

PartType = TypeVar("PartType", bound="type[Part]")


@dataclasses.dataclass(frozen=True)
class Part:
    """One setting of a plan, of a role (`"score"`, `"select"`, `"act"`) and a kind.

    Attributes:
        learns: whether it learns anything in training.
    """

    role: ClassVar[str]
    kind: ClassVar[str]
    learns: ClassVar[bool] = False

    def module(self, width: int, heads: int) -> Learned | None:
        """What it learns at one block of an encoder of this width and number of heads."""
        return None

    def at_block(self, number: int, count: int) -> Self:
        """The part at the `number`-th, from 1, of a step's `count` blocks."""
        return self

    def frozen(self, modules: Sequence[Learned | None]) -> Part:
        """The part that does the same with what it learned written down as plain numbers.

        Args:
            modules: what it learned, at each of the step's blocks. A part of which this cannot be
                written down returns itself.
        """
        return self

    def to_dict(self) -> dict[str, Any]:
        """The part as JSON writes it: its kind and all of its fields."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **fields}

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Rebuild a part of this role.

        Args:
            data: what `to_dict` returned; fields that are left out get their defaults.
            where: the part's place in the plan, for messages.

        Raises:
            PlanError: naming the field that is wrong and the values that would do.
        """
        known = _REGISTRY.get(cls.role, {})
        if not isinstance(data, dict) or "kind" not in data:
            raise PlanError(f"{where} must be an object with a field 'kind', got {data!r}")
        kind = data["kind"]
        if not isinstance(kind, str) or kind not in known:
            raise PlanError(f"{where}.kind must be one of {', '.join(sorted(known))}, got {kind!r}")
        part = known[kind]
        names = [field.name for field in dataclasses.fields(part)]
        unknown = sorted(set(data) - {"kind", *names})
        if unknown:
            raise PlanError(
                f"{where}.{unknown[0]} is not a field of {kind!r}; "
                f"its fields are {', '.join(names) or 'none'}"
            )
        try:
            return part(**{name: data[name] for name in names if name in data})
        except PlanError as error:
            raise PlanError(f"{where}.{error}") from None


def register(part: PartType) -> PartType:
    """Make a part known by its role and kind; a class decorator.

    Raises:
        ValueError: if another part has that role and kind.
    """
    kinds = _REGISTRY.setdefault(part.role, {})
    if part.kind in kinds and kinds[part.kind].__qualname__ != part.__qualname__:
        raise ValueError(f"the {part.role} kind {part.kind!r} is taken by {kinds[part.kind]}")
    kinds[part.kind] = part
    return part


def check(condition: bool, field: str, expected: str, got: Any) -> None:
    """Raise the `PlanError` of a field unless the condition holds."""
    if not condition:
        raise PlanError(f"{field} must be {expected}, got {got!r}")


def check_number(
    field: str, value: Any, low: float, high: float, *, open_low: bool = False
) -> None:
    """Raise a `PlanError` unless `value` is a number in the interval."""
    bracket = "(" if open_low else "["
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    inside = is_number and (low < value if open_low else low <= value) and value <= high
    check(inside, field, f"a number in {bracket}{low:g}, {high:g}]", value)
