"""Killed at any moment and started again, a run ends as if nobody had touched it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from serving import wait_until

pytestmark = pytest.mark.slow

ROWS = 6000


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}


def check_same(whole: Path, broken: Path) -> None:
    """The same files with the same rows, every row of the inputs once, and nothing else."""
    for folder in (".", "_bad"):
        names = sorted(path.name for path in (whole / folder).glob("*.parquet"))
        assert names and names == sorted(p.name for p in (broken / folder).glob("*.parquet"))
        for name in names:
            one, two = whole / folder / name, broken / folder / name
            assert parquet.read_table(one).equals(parquet.read_table(two), check_metadata=True)
    rows = parquet.read_table(broken).to_pylist() + parquet.read_table(broken / "_bad").to_pylist()
    places = sorted((row["source_file"], row["source_row"]) for row in rows)
    files = ("a.parquet", "b.parquet")
    assert places == [(name, n + 1) for name in files for n in range(ROWS // 2)]
    assert (whole / "_summary.json").read_text() == (broken / "_summary.json").read_text()
    assert not [path for path in broken.rglob(".*")]


def test_killed_at_thirty_moments_it_ends_the_same(model, write, tmp_path):
    write("a.parquet", ROWS // 2)
    texts = [None if n % 17 == 0 else f"cat word{n % 40}" for n in range(ROWS // 2)]
    write("b.parquet", ROWS // 2, texts=texts)
    script = [sys.executable, str(Path(__file__).with_name("killing.py"))]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out, kills in ((whole, 0), (broken, 30)):
        words = [model, str(tmp_path / "in"), str(out), str(kills), "0"]
        done = subprocess.run([*script, *words], env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    # A run may have ended before its kill came, but most must not have.
    assert int(done.stdout) >= 10
    check_same(whole, broken)


def test_interrupted_it_says_so_and_leaves_no_worker(model, write, tmp_path):
    write("a.parquet", ROWS)
    out = tmp_path / "out"
    settings = {"env": ENVIRONMENT, "stderr": subprocess.PIPE, "text": True}
    words = f"score {model} {tmp_path / 'in'} {out} --device cpu --workers 2 --shard-rows 10"
    run = [sys.executable, "-m", "tersely", *words.split()]
    with subprocess.Popen(run, start_new_session=True, **settings) as process:
        wait_until(lambda: list(out.glob("part-*.parquet")), 600)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in stderr, stderr

    def is_gone() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_gone, 120)
