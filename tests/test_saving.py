"""What is written replaces what was there in one go, or not at all; freed memory is kept."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tersely._io import written_whole
from tersely.errors import ExportError, OutputError


@pytest.fixture
def older(tmp_path):
    """A directory with a model in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("older")
    (folder / "notes.txt").write_text("mine")
    return folder


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(28, "No space left on device"), OutputError, "the export cannot be .*No space"),
        (ExportError("other labels"), ExportError, "^other labels$"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "^stop$"),
    ],
)
def test_an_error_leaves_the_older_files(older, error, raised, message):
    names = ("config.json", "notes.txt")
    with pytest.raises(raised, match=message):
        with written_whole(older, "export", replaces=names) as part:
            (part / "config.json").write_text("newer")
            raise error
    assert contents(older) == {"config.json": "older", "notes.txt": "mine"}
    with pytest.raises(raised), written_whole(older / "new", "export"):
        raise error
    assert not (older / "new").exists()


def test_a_place_that_cannot_be_a_directory_is_said(older):
    with pytest.raises(OutputError, match="the model cannot be written to .*; free some space"):
        with written_whole(older / "config.json" / "model", "model"):
            pytest.fail("there is nowhere to write to")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_who_may_read_the_folder_may_read_the_weights(tmp_path):
    """A model that root trained could not be served by another user: safetensors writes 0600."""
    before = os.umask(0o022)
    try:
        with written_whole(tmp_path / "model", "model") as part:
            (part / "config.json").write_text("{}")
            save_file({"weight": np.zeros(1)}, part / "model.safetensors")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == {0o644}


def test_files_come_together_and_what_they_replace_goes(older):
    (older / "record.json").write_text("older")
    names = ("config.json", "record.json", "absent.json")
    with written_whole(older, "model", replaces=names) as part:
        (part / "config.json").write_text("newer")
        (part / "weights").write_text("1")
        assert contents(part).keys() == {"config.json", "weights"}
        assert contents(older).keys() >= {"config.json", "notes.txt", "record.json"}
    assert contents(older) == {"config.json": "newer", "weights": "1", "notes.txt": "mine"}


PROGRAM = """
import os, sys
from tersely._io import keep_freed_memory
took = keep_freed_memory()
def resident():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
before = resident()
blocks = [bytearray(b"x" * (8 << 20)) for _ in range(20)]
blocks.clear()
print(took, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(own):
    command, environment = [sys.executable, "-c", PROGRAM], os.environ | own
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    took, kept = done.stdout.split()
    # Of 160 MiB; not every libc has the setting.
    assert took == "False" or (not own and int(kept) > 100)
