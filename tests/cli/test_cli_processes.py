"""What only a process of its own shows: interruptions, resuming, full disks, closed pipes."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "tersely"]


def training(reviews: Path, encoder: Path, out: Path, epochs: int) -> list[str]:
    command = [*COMMAND, "train", str(reviews), "--out", str(out), "--model", str(encoder)]
    # A few documents a step, so that there is time between two checkpoints.
    return [*command, "--epochs", str(epochs), "--batch-tokens", "32", "--device", "cpu"]


def wait_for_checkpoint(process: subprocess.Popen, out: Path) -> None:
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/*/checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on(encoder, reviews, environment, tmp_path, kill):
    out = tmp_path / "model"
    command = training(reviews, encoder, out, epochs=5)
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for_checkpoint(process, out)
    process.send_signal(kill)
    stdout, stderr = process.communicate(timeout=300)
    assert stdout == ""
    assert "Traceback" not in stderr
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert "from the last checkpoint by adding --resume" in stderr.splitlines()[-1]
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 1 and "--resume" in again.stderr
    # As an interruption while a checkpoint is being written leaves it.
    (out / "checkpoints" / "plan" / "checkpoint-99999").mkdir()
    resumed = subprocess.run(
        [*command, "--resume", "--json"], env=environment, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["resumed"] is True
    assert (out / "model.safetensors").is_file() and not (out / "checkpoints").exists()


def test_a_full_disk_is_one_line_and_costs_no_older_model(encoder, reviews, environment, tmp_path):
    out = tmp_path / "model"
    command = training(reviews, encoder, out, epochs=1)
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def allow_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run(
        [*command, "--overwrite"],
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=allow_small_files,
    )
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("tersely: error: the disk is full")
    after = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    assert after == before


def test_a_closed_pipe_is_no_error(model, reviews, environment):
    command = [*COMMAND, "predict", str(model), str(reviews)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        process.stdout.close()
        stderr = process.stderr.read()
    assert "Traceback" not in stderr and "BrokenPipe" not in stderr
