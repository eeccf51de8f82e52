"""How fast the machine multiplies matrices and copies memory while the contenders run.

Absolute figures mean little on a shared machine. The share of the machine's own matrix-product peak
says how much of the time is spent on the products that a model needs, and how much around them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from tersely._io import describe_machine

__all__ = ["SHAPES", "MatrixProbe", "describe_machine", "memory_bandwidth", "synchronise"]

SHAPES = ((4096, 384, 1536), (4096, 1536, 384), (2048, 2048, 2048))
"""Products `(rows, inner, columns)`: the two of a small encoder's feed-forward, and a square."""


def synchronise() -> None:
    """Wait until a CUDA device in use has done all that it was asked to."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


class MatrixProbe:
    """Measure the machine's matrix-product peak a little at a time, between contenders' turns.

    Args:
        shapes: products `(rows, inner, columns)` to try, `SHAPES` by default.
        repeats: products of each shape per measurement; the fastest counts.
        device: where to multiply, `"cpu"` by default.
        dtype: numbers to multiply, `"float32"` by default.

    Example:
        >>> probe = MatrixProbe(shapes=((64, 64, 64),))
        >>> 0 < probe.measure() <= probe.peak
        True
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]] = SHAPES,
        repeats: int = 3,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.best = {shape: 0.0 for shape in shapes}
        self._repeats = repeats
        self.arithmetic = (device, dtype)
        self._options = {"device": device, "dtype": getattr(torch, dtype)}

    @property
    def peak(self) -> float:
        """The most MACs per second that any shape reached so far."""
        return max(self.best.values())

    def measure(self) -> float:
        """Multiply every shape a few times, and keep the best rate of each.

        Returns:
            The best rate of this measurement, in MACs per second.
        """
        now = 0.0
        for rows, inner, columns in self.best:
            # Made anew each time: 50 MiB that would otherwise stay beside the contenders.
            left = self._matrix(rows, inner)
            right = self._matrix(inner, columns)
            out = torch.empty(rows, columns, **self._options)
            for _ in range(self._repeats):
                synchronise()
                started = time.perf_counter()
                torch.mm(left, right, out=out)
                synchronise()
                rate = rows * inner * columns / (time.perf_counter() - started)
                shape = (rows, inner, columns)
                self.best[shape] = max(self.best[shape], rate)
                now = max(now, rate)
        return now

    def bandwidth(self) -> float:
        """Bytes a second that copying moves on the CPU; see `memory_bandwidth`."""
        return memory_bandwidth()

    def _matrix(self, rows: int, columns: int) -> torch.Tensor:
        """Numbers that differ: a GPU multiplies equal ones faster. Random state is left alone."""
        return torch.linspace(-1, 1, rows * columns, **self._options).view(rows, columns)


def memory_bandwidth(megabytes: int = 256, repeats: int = 3) -> float:
    """Bytes a second that copying moves, read and written together, the best of a few times.

    Args:
        megabytes: size of what is copied: much more than a cache holds.
        repeats: times.
    """
    source = torch.ones(megabytes * 2**18)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(repeats + 1):  # the first one only brings the pages in
        started = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - started))
    return best
