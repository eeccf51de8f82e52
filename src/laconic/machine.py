"""What a figure was measured on: the hardware and the libraries, without a name or a path."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["describe_machine"]

_ALLOCATOR_VARIABLES = ("GLIBC_TUNABLES", "LD_PRELOAD")


def describe_machine() -> dict[str, Any]:
    """Describe the hardware and the software that figures depend on; no host name, no paths.

    Returns:
        `cpu`, `cores` (of the machine), `usable_cores` (by this process), `threads` (of torch),
        `memory_bytes` (None if unknown), `gpu` (None without one), `system`, the `versions` of
        Python and of the libraries, and `allocator`: names of the environment variables set that
        change how memory is allocated.

    Example:
        >>> describe_machine()["threads"] == torch.get_num_threads()
        True
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ("laconic", "torch", "transformers", "numpy", "onnxruntime", "scikit-learn")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: _of(name) for name in libraries},
        "allocator": sorted(
            name
            for name in os.environ
            if name.startswith("MALLOC_") or name in _ALLOCATOR_VARIABLES
        ),
    }


def _of(distribution: str) -> str | None:
    """The version of a distribution; None when its code runs without being installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name; Arm's cpuinfo has none, and other systems have no such file."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or sys.platform


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
