"""Peak memory of a contender, measured in a process of its own.

A process keeps what an allocator once took from the system, so of two models in one process the
second hides in the first one's pages. Hence each contender is built again in a fresh process,
`tersely.bench.child`, that does nothing else; this module starts it and reads its answer.

Two traps are avoided there. The `ru_maxrss` of a new process starts, on Linux, at the peak of the
process that started it, so it shows the parent's models; `VmHWM` in `/proc/self/status` starts
afresh. And reading a checkpoint can need more than running it, so the peak is reset after loading,
where the system allows that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tersely.bench.contenders import Contender, Rebuildable
from tersely.errors import TerselyWarning

__all__ = ["PeakMemory", "measure_memory"]


@dataclass(frozen=True)
class PeakMemory:
    """Memory of one contender alone in a process.

    Attributes:
        peak_bytes: the most that was held while all documents ran once; it includes Python, the
            libraries and the weights.
        loaded_bytes: what was held just before: model loaded, documents prepared, and the first of
            them run alone, since weights come into memory only when they are used.
        includes_loading: whether the peak may stem from loading, because the system does not let it
            be reset in between.
        kind: `"resident"` memory of the process, or that of the `"device"` of a contender on CUDA;
            the two are not compared.
    """

    peak_bytes: int
    loaded_bytes: int
    includes_loading: bool = False
    kind: str = "resident"

    @property
    def growth_bytes(self) -> int:
        """What running needs on top of the loaded state."""
        return self.peak_bytes - self.loaded_bytes


def measure_memory(contender: Contender, texts: Sequence[str]) -> PeakMemory | None:
    """Build a contender again in a fresh process, run it once there, and report its peak.

    Args:
        contender: measured if it is `Rebuildable` and its `spec` is not None.
        texts: the documents.

    Returns:
        The peak, or None if the contender cannot be built again or, with a warning that holds its
        last words, if the process failed.
    """
    spec = contender.spec() if isinstance(contender, Rebuildable) else None
    if spec is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "texts.json"
        documents.write_text(json.dumps(list(texts)))
        request = {
            "contender": spec,
            "texts": str(documents),
            "threads": torch.get_num_threads(),
        }
        # -P: a file of the current directory must not stand in for a module of the same name.
        child = subprocess.run(
            [sys.executable, "-P", "-m", "tersely.bench.child"],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if child.returncode != 0 or not child.stdout.strip():
        last_words = (child.stderr.strip() or f"exit status {child.returncode}").splitlines()[-1]
        warnings.warn(
            f"the memory of {contender.name!r} was not measured, its process failed: {last_words}",
            TerselyWarning,
            stacklevel=2,
        )
        return None
    return PeakMemory(**json.loads(child.stdout.strip().splitlines()[-1]))
