"""At which blocks a step acts: numbers counted from 0, or fractions of the encoder's depth.

Fractions let one preset fit encoders of 6 and 12 blocks. The fraction f of a depth L stands for the
block `min(L − 2, round_half_up(f·L) − 1)`: 7/12 is the paper's seventh of twelve blocks (number 6),
and the fourth of six (number 3).
"""

from __future__ import annotations

import math
from typing import Any

from tersely.errors import PlanError

__all__ = ["INPUT", "check_layers", "resolve_layer", "resolve_layers"]

INPUT = "input"
"""Right after the embedding, before the first block."""


def resolve_layer(layer: int | float, depth: int, where: str = "layers") -> int:
    """The 0-based block that a number or a fraction stands for.

    Args:
        layer: an integer in [−depth, depth), negative ones counted from the end, or a fraction
            in (0, 1) as a float.
        depth: blocks of the encoder.
        where: the field's place in the plan, for messages.

    Raises:
        PlanError: if there is no such block.
    """
    if isinstance(layer, float):
        return max(0, min(depth - 2, math.floor(layer * depth + 0.5) - 1))
    if not -depth <= layer < depth:
        raise PlanError(
            f"{where} must be a block of this encoder, 0 to {depth - 1} (or a fraction of its "
            f"depth), got {layer}"
        )
    return layer % depth


def resolve_layers(layers: Any, depth: int, where: str = "layers") -> list[int]:
    """The blocks of a step, ascending: from a number, a list, or `{"start": …, "stop": …}`.

    `stop` itself is not included; a `start` or `stop` that is left out means the first block, or
    all to the last.
    """
    if isinstance(layers, dict):
        start, stop = layers.get("start"), layers.get("stop")
        first = 0 if start is None else resolve_layer(start, depth, f"{where}.start")
        last = depth if stop is None else resolve_layer(stop, depth, f"{where}.stop")
        if first > last:
            raise PlanError(f"{where}.stop must come after start, got blocks {first} to {last}")
        return list(range(first, last))
    many = layers if isinstance(layers, list | tuple) else [layers]
    return sorted({resolve_layer(layer, depth, where) for layer in many})


def check_layers(layers: Any, where: str = "layers") -> None:
    """Raise a `PlanError` unless `layers` is well formed, whatever the encoder's depth."""
    if layers == INPUT:
        return
    if isinstance(layers, dict):
        unknown = sorted(set(layers) - {"start", "stop"})
        if unknown:
            raise PlanError(f"{where} has the fields start and stop, got {unknown[0]!r}")
        ends = [layers.get("start"), layers.get("stop")]
        for end in ends:
            if end is not None:
                _check_one(end, where)
        return
    many = layers if isinstance(layers, list | tuple) else [layers]
    if not many:
        raise PlanError(f"{where} must name at least one block, got an empty list")
    for layer in many:
        _check_one(layer, where)


def _check_one(layer: Any, where: str) -> None:
    whole = isinstance(layer, int) and not isinstance(layer, bool)
    if not whole and not (isinstance(layer, float) and 0 < layer < 1):
        raise PlanError(
            f"{where} must be whole numbers counted from 0, or fractions of the depth in (0, 1), "
            f"got {layer!r}"
        )
