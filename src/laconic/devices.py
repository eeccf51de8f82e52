"""Which device to run on, with an error in plain words when it is not there; how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from laconic.errors import DeviceError

__all__ = ["device_of_export", "resolve_device", "torch_threads"]


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use that many threads, and give the process its own number back afterwards.

    Example:
        >>> with torch_threads(1):
        ...     torch.get_num_threads()
        1
    """
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device to use: `"auto"` takes CUDA where there is one, the CPU otherwise.

    Raises:
        DeviceError: for a device that this machine does not have.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise DeviceError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {str(device)!r}"
        ) from None
    if chosen.type == "cpu":
        return chosen
    if chosen.type != "cuda" or not torch.cuda.is_available():
        raise DeviceError(f"the device {chosen} is not available here; use --device cpu")
    count = torch.cuda.device_count()
    if chosen.index is not None and chosen.index >= count:
        raise DeviceError(f"the device {chosen} is not there, this machine has {count}")
    return chosen


def device_of_export(device: str) -> str:
    """The device of an export: the CPU, whatever else the machine has.

    Raises:
        DeviceError: if another one was asked for.
    """
    if str(device) not in ("auto", "cpu"):
        raise DeviceError(f"exports run on the CPU, got --device {device}; leave it out")
    return "cpu"
