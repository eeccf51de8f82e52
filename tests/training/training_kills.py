"""Runs of training that are killed between two steps."""

from collections.abc import Callable


class Killed(Exception):
    """What ends them."""


def killed_after(steps: int) -> Callable:
    """What to pass as `progress`, for a kill after so many steps of all stages together."""
    left = [steps]

    def progress(what: str, done: int, total: int) -> None:
        left[0] -= "training" in what
        if left[0] < 0:
            raise Killed(what)

    return progress
