"""Peak memory of a contender, each in a fresh process: what others left behind must not show."""

import gc
import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tersely.bench.contenders import Contender
from tersely.errors import warn


@dataclass(frozen=True)
class PeakMemory:
    """Memory of one contender alone in a process: the most that was held while it ran once."""

    peak_bytes: int  # Python, the libraries and the weights included
    loaded_bytes: int  # what was held just before
    kind: str = "resident"  # or "device", of a contender on CUDA; the two are not compared


def measure_memory(contender: Contender, texts: Sequence[str]) -> PeakMemory | None:
    """Build a contender again in a fresh process, run it once there, and return its peak.

    None if its `spec` is None or, with a warning that holds its last words, its process failed:
    resident memory is measured on Linux alone.
    """
    spec = contender.spec()
    if spec is None:
        return None
    kind = f"{type(contender).__module__}:{type(contender).__qualname__}"
    request = {"kind": kind, "spec": spec, "texts": list(texts), "threads": torch.get_num_threads()}
    # -P: a file of the current directory must not stand in for a module of the same name.
    child = subprocess.run(
        [sys.executable, "-P", "-c", "from tersely.bench.memory import main; main()"],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if child.returncode != 0 or not child.stdout.strip():
        last_words = (child.stderr.strip() or f"exit status {child.returncode}").splitlines()[-1]
        text = f"the memory of {contender.name!r} was not measured, its process failed: "
        warn(text + last_words)
        return None
    return PeakMemory(**json.loads(child.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Measure the contender that standard input describes; the fresh process runs this."""
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    contender = pkgutil.resolve_name(request["kind"]).from_spec(request["spec"])
    contender.prepare(request["texts"])
    # Weights are mapped from their file and come into memory when first used: use them once.
    contender.run_one(0)
    gc.collect()
    sys.stdout.write("\n" + json.dumps(measure(contender.run)) + "\n")


def measure(run: Callable[[], Any]) -> dict[str, int | str]:
    """Run something once, and return the fields of a `PeakMemory`."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        loaded = torch.cuda.memory_allocated()
        run()
        peak = torch.cuda.max_memory_allocated()
        return {"loaded_bytes": loaded, "peak_bytes": peak, "kind": "device"}
    Path("/proc/self/clear_refs").write_text("5")  # only Linux lets a process forget its peak
    loaded = _resident("VmRSS")
    run()
    return {"loaded_bytes": loaded, "peak_bytes": max(loaded, _resident("VmHWM"))}


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(dict(line.split(":", 1) for line in lines)[field].split()[0])
