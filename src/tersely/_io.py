"""What touches the machine: whole-or-nothing writes, devices, threads, hardware, the terminal.

torch is imported where it is used, so that the command line can import this module and stay light.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from tersely.errors import DeviceError, OutputError, TerselyError, require

if TYPE_CHECKING:
    import torch
    from rich.table import Table

# Who is told what runs, and how much of how much of it is done.
Progress = Callable[[str, int, int], None] | None


@contextlib.contextmanager
def written_whole(directory: Path, what: str, *, replaces: Collection[str] = ()) -> Iterator[Path]:
    """Yield a folder to write files into, which are in `directory` once the block has ended well.

    A full disk, or an export that does not pass its check, leaves an older model as it was, and no
    directory where there was none. Of the older files named in `replaces`, those that were not
    written anew are removed, so that the directory never describes two models; others stay. `what`
    is written, for the message.
    """
    from safetensors import SafetensorError

    is_new = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # In the directory itself, since files are moved at once within one file system alone.
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as part:
            yield Path(part)
            files = list(Path(part).iterdir())
            # safetensors lets the owner alone read its files; who serves them may be another.
            mode = max((file.stat().st_mode for file in files), default=0)
            for file in files:
                file.chmod(mode)
                os.replace(file, directory / file.name)
        for name in set(replaces).difference(file.name for file in files):
            (directory / name).unlink(missing_ok=True)
    except BaseException as error:
        if is_new:
            with contextlib.suppress(OSError):  # somebody else put something in it
                directory.rmdir()
        if not isinstance(error, OSError | SafetensorError) or isinstance(error, TerselyError):
            raise
        raise OutputError(
            f"the {what} cannot be written to {directory}: {error}; free some space or choose "
            "another place"
        ) from error


def fill_page(template: Path, extra: str, **values: Any) -> str:
    """Fill a Jinja2 template; what the extra brings is said where there is no Jinja2."""
    jinja = require("jinja2", extra)
    looks = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja.Environment(undefined=jinja.StrictUndefined, **looks)
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)


@contextlib.contextmanager
def locked(folder: Path, name: str, busy: TerselyError) -> Iterator[None]:
    """Make a folder, and hold its lock while the block runs; `busy` is raised if another does.

    A process that ends gives its lock back, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / name).open("a")
    except OSError as error:
        raise OutputError(
            f"the output {folder} cannot be written: {error.strerror}; choose another place"
        ) from error
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except (ImportError, OSError):
            pass  # Windows, or a file system without locks: two runs are not noticed
        yield


def check_writable(folder: Path, output: Path) -> None:
    """Raise an OutputError if no file can be made in the folder that an output will lie in."""
    try:
        # Asking for permissions would miss read-only file systems; trying does not.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"the output {output} cannot be written: {folder}: {error.strerror}; "
            f"{'' if os.path.exists(folder) else 'make that folder, or '}choose another place"
        ) from None


def write_page(path: str | Path, template: Path, extra: str, **values: Any) -> Path:
    """Fill a Jinja2 template, and write it as a page."""
    path, text = Path(path), fill_page(template, extra, **values)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the page {path} cannot be written: {error.strerror}; choose another place"
        ) from None
    return path


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to use: `"auto"` takes CUDA where there is one, the CPU otherwise."""
    import torch

    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise DeviceError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {str(device)!r}"
        ) from None
    there = torch.cuda.device_count() if chosen.type == "cuda" else 0
    if chosen.type == "cpu" or (chosen.index or 0) < there:
        return chosen
    raise DeviceError(
        f"the device {chosen} does not exist: this machine has {there} of its type; use another, "
        "or 'cpu'"
    )


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use that many threads (None: as it is), and give the own number back afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Bar(tqdm):
    """A bar for work of several phases."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show what is done and how much of how much; the time left is that of so much."""
        if self.total != total or done < self.n:  # another phase; `reset` would draw at once
            self.total, self.n, self.last_print_n = total, 0, 0
            self.start_t = self._time()
        self.set_description_str(what, refresh=False)
        self.update(done - self.n)


def counting(progress: Progress, what: str, total: int, done: int = 0) -> Callable[[int], None]:
    """Return what takes how many more of something are done, and tells how many of how many are."""

    def more(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None:
            progress(what, done, total)

    return more


def plain_table(*columns: str, **options: Any) -> Table:
    """Return a table without lines; columns whose names begin with `>` are aligned to the right."""
    from rich.table import Table

    table = Table(**{"box": None, "header_style": "bold", "padding": (0, 2, 0, 0)} | options)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name[:1] == ">" else "left")
    return table


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Describe the hardware and the software that figures depend on; no host name, no paths.

    `threads` are those of torch, and `allocator` names the environment variables set that change
    how memory is allocated. What is unknown or not there is None.
    """
    import torch

    import tersely

    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        memory = None
    libraries = ("torch", "transformers", "numpy", "onnxruntime", "scikit-learn")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        # Of the code that runs, which may be a checkout that is not what is installed.
        "versions": {"python": platform.python_version(), "tersely": tersely.__version__}
        | {name: _version_of(name) for name in libraries},
        "allocator": sorted(
            name
            for name in os.environ
            if name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD")
        ),
    }


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    """The processor's name; Arm's cpuinfo has none, and other systems have no such file."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    if found := re.search(r"^model name\s*:\s*(\S.*?)\s*$", text, re.MULTILINE):
        return found[1]
    return platform.processor() or platform.machine() or sys.platform


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory for its next allocations; say if it does.

    glibc gives memory at the top of its heap back to the system as soon as more than a threshold is
    free. A model that works on few tokens at the end of every batch crosses the threshold every
    time, and the next batch pays for fresh pages: combining in the middle of MiniLM-L6 lost a tenth
    of its speed to that (two Skylake cores, 2026-11-22). It is a setting of the whole process, so a
    library must not change it unasked: tersely's own commands do, and programs may. Settings of the
    environment stay, and other libraries of C have none.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if any(name in os.environ for name in own):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h; 32 MiB is the most for the latter.
    return bool(mallopt(-1, 1 << 30) and mallopt(-3, 32 << 20))
