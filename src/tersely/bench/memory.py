"""Peak memory of a contender, each in a fresh process: what others left behind must not show."""

import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tersely.bench.contenders import Contender
from tersely.errors import warn

# A pipe to a process of our own, as multiprocessing has it; but no script of the user's is imported
# there, and no tensor is left in shared memory. What is imported may lie where the parent looks.
_CHILD = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from tersely.bench.memory import main
main(*pickle.load(sys.stdin.buffer))
"""


@dataclass(frozen=True)
class PeakMemory:
    """Memory of one contender alone in a process: the most that was held while it ran once."""

    peak_bytes: int  # Python, the libraries and the weights included
    loaded_bytes: int  # what was held just before
    kind: str = "resident"  # or "device", of a contender on CUDA; the two are not compared


def measure_memory(contender: Contender, texts: Sequence[str]) -> PeakMemory | None:
    """Run a contender once in a fresh process, and return its peak there.

    None, with a warning that says why, if it holds what cannot be sent to another process, or that
    process failed: resident memory is measured on Linux alone.
    """
    try:
        given = contender, list(texts), torch.get_num_threads()
        sent = pickle.dumps(sys.path) + pickle.dumps(given)
        command = [sys.executable, "-P", "-c", _CHILD]
        child = subprocess.run(command, input=sent, capture_output=True, check=True)
        return PeakMemory(**json.loads(child.stdout.splitlines()[-1]))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if said else f"exit status {error.returncode}"
    except Exception as error:  # whatever somebody else's contender says when it is pickled
        reason = f"it cannot be sent to a process of its own, {error}"
    warn(f"the memory of {contender.name!r} was not measured: {reason}")
    return None


def main(contender: Contender, texts: Sequence[str], threads: int) -> None:
    """Measure a contender, and print the figures; the fresh process runs this."""
    torch.set_num_threads(threads)
    contender.prepare(texts[:1])
    contender.run()  # what is made or read when it is first used
    contender.prepare(texts)
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
