"""The fresh process in which one contender's memory is measured; see `tersely.bench.memory`.

It reads a request as JSON from standard input, and writes one line of JSON to standard output.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tersely.bench.contenders import build_contender

__all__ = ["main", "measure"]


def main() -> None:
    """Measure the contender that standard input describes."""
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    contender = build_contender(request["contender"])
    contender.prepare(json.loads(Path(request["texts"]).read_text()))
    # Weights are mapped from their file and come into memory when first used: use them once.
    contender.run_one(0)
    gc.collect()
    sys.stdout.write("\n" + json.dumps(measure(contender.run)) + "\n")


def measure(run: Callable[[], Any]) -> dict[str, int | bool | str]:
    """Run something once, and report the memory held before and at the peak, in bytes."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        loaded = torch.cuda.memory_allocated()
        run()
        peak = torch.cuda.max_memory_allocated()
        return {"loaded_bytes": loaded, "peak_bytes": peak, "kind": "device"}
    was_reset = _reset_peak()
    loaded = _resident("VmRSS")
    run()
    return {
        "loaded_bytes": loaded,
        "peak_bytes": max(loaded, _resident("VmHWM")),
        "includes_loading": not was_reset,
    }


def _reset_peak() -> bool:
    """Let Linux forget the peak so far; False where there is no such switch."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int:
    """Resident memory in bytes, `VmRSS` now or `VmHWM` at the peak.

    Outside Linux only the peak is known without more libraries; it then stands for both.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


if __name__ == "__main__":
    main()
