"""`tersely serve` as a process of its own: what it says, its key, and how it ends."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from serving import save_trained, wait_until
from tersely import Classifier

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "tersely", "serve"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_in_peace(tmp_path, end):
    with serving(tmp_path) as (process, client):
        assert client.post("/predict", json={"inputs": "the cat"}).status_code == 200
        with ThreadPoolExecutor(8) as pool:
            body = {"inputs": [["the cat " * 60]] * 32}
            asked = [pool.submit(client.post, "/predict", json=body) for _ in range(8)]
            wait_until(lambda: "tersely_documents_taken_total 257.0" in client.get("/metrics").text)
            process.send_signal(end)
            assert [answer.result().status_code for answer in asked] == [200] * 8
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0 and stdout == ""
        assert stderr.splitlines() == ["tersely: stopped; all accepted requests were answered"]


def test_a_second_interrupt_ends_it_at_once(tmp_path):
    with serving(tmp_path) as (process, client):
        with ThreadPoolExecutor(8) as pool:
            # More than is computed while two signals arrive.
            body = {"inputs": [["the cat " * 60]] * 32}
            asked = [pool.submit(client.post, "/predict", json=body, timeout=60) for _ in range(64)]
            wait_until(lambda: "tersely_documents_taken_total" in client.get("/metrics").text)
            process.send_signal(signal.SIGINT)
            # The port is closed when the first one was taken.
            wait_until(lambda: not _is_up(client), 60)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
            for answer in asked:
                answer.exception()
        assert process.returncode == 130 and stdout == ""
        (line,) = stderr.splitlines()
        assert re.fullmatch(r"tersely: warning: stopped without waiting; .* got no answer", line)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")
def test_a_hangup_swaps_in_what_the_folder_holds_without_a_dropped_request(tmp_path):
    done = threading.Event()
    with serving(tmp_path) as (process, client):

        def ask() -> list[dict]:
            answer = client.post("/predict", json={"inputs": "the cat word1"})
            assert answer.status_code == 200
            return answer.json()

        def keep_asking() -> int:
            times = 0
            while not done.is_set():
                times += bool(ask())
            return times

        before, folder = ask(), tmp_path / "focus-pfc"
        other = Classifier.from_pretrained(folder, device="cpu")
        other.model.head.classifier.weight.data.neg_()
        other.save(folder)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(keep_asking) for _ in range(4)]
            process.send_signal(signal.SIGHUP)
            line = process.stderr.readline()
            done.set()
            assert sum(each.result() for each in asked) > 4
        assert line == "tersely: serving the new focus-pfc\n"
        after = ask()
        assert [each["label"] for each in after] != [each["label"] for each in before]
        # What cannot be loaded is not swapped in.
        (folder / "config.json").write_text("{")
        process.send_signal(signal.SIGHUP)
        lines = process.stderr.readline(), process.stderr.readline()
        assert "the model failed before its first answer (ModelError: " in lines[0]
        assert lines[1] == "tersely: still serving the old focus-pfc\n"
        assert ask() == after
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen, httpx2.Client]]:
    """A server of a tiny model that is up, and its client."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERSELY_API_KEY": "k", "NO_COLOR": "1"}
    command = [*COMMAND, str(save_trained(folder)), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        # On a busy machine a line about that comes first.
        serves = re.compile(r"serving focus-pfc at (http://127\.0\.0\.1:\d+);")
        address = next(filter(None, map(serves.search, process.stderr))).group(1)
        headers = {"authorization": "Bearer k"}
        limits = httpx2.Limits(max_connections=100)
        with httpx2.Client(base_url=address, headers=headers, limits=limits) as client:
            wait_until(lambda: _is_up(client), 60)
            yield process, client
    finally:
        process.kill()
        process.wait()


def _is_up(client: httpx2.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx2.TransportError:
        return False
