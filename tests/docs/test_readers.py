"""The pages are run from top to bottom, on few words and a tiny encoder, in the slow suite.

Of getting started and of measuring, commands and Python are checked, not run. The pages about
adding something are run by `test_docs.py`, which also compares what is shown of the command line
with what there is.
"""

import csv
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_docs import FENCE, ROOT

from commands import run_command
from serving import save_trained
from tersely import Classifier
from tersely.accelerate import search
from words import labelled, save_encoder

READERS = ("labelled-documents.md", "fine-tuned-model.md", "production.md")
REFERENCE = ("README.md", "command-line.md", "explain.md", "export.md", "serving.md")
REFERENCE += ("scoring.md",)
# A line or a block of Python that asks for what a test has not: a cluster, a service, a module, a
# run that was killed, texts too long for a tiny encoder, or enough of them to prove a limit.
OUTSIDE = (
    "spark",
    "import ray",
    "--ray",
    "ask_the_service",
    "my_method",
    "--resume",
    "--budget",
    "with_budget",
)
OUTSIDE += ("recalibrate", "max-disagreement 2%", "limit=0.01")
# So that few documents are enough, and a page may write to one place twice.
QUICK = {
    "train": ["--overwrite"],
    "accelerate": ["--max-disagreement", "10%", "--overwrite"],
    "export": ["--overwrite"],
}


def write_csv(name: str, **columns: list[Any]) -> None:
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What a reader has: files of documents, a fine-tuned classifier, a trained model."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("reviews", "train", "test", "documents", "texts", "tags")):
        texts, labels = labelled(200 if name == "texts" else 60, seed=seed, words=40)
        write_csv(f"{name}.csv", text=texts, label=labels, body=texts, mood=labels)
    write_csv("pairs.csv", claim=texts, evidence=texts[::-1], label=labels)
    write_csv("stars.csv", text=texts, stars=[len(text) / 7 for text in texts])
    write_csv("new.csv", text=labelled(12, seed=9)[0])
    Path("in").mkdir()
    pq.write_table(pa.table({"id": range(60), "text": texts}), "in/some.parquet")
    Path("letter.txt").write_text(texts[0])
    Path("train.yaml").write_text("epochs: 1\n")
    save_encoder(tmp_path / "encoder", num_hidden_layers=4)
    save_trained(tmp_path / "given", "dense").rename("my-classifier")
    for name in ("model", "dense", "dense-model", "faster", "fast"):
        shutil.copytree("my-classifier", name)
    monkeypatch.setattr(search, "GAIN", 0.0)  # a busy machine's speed is not the page's
    return tmp_path


class Shell:
    """Runs a page's lines; a server that it starts lives until the page ends."""

    def __init__(self) -> None:
        self.server: subprocess.Popen | None = None
        self.port = 0

    def run(self, line: str) -> None:
        """Run one line."""
        said, _, line = line.rpartition(" | ")
        words = shlex.split(line, comments=True)
        if not words or words[0] in ("pip", "make") or any(word in line for word in OUTSIDE):
            return
        if words[0] == "curl":
            self.ask(words[1:])
        elif words[1] == "serve":
            self.serve(words[2:])
        else:
            assert words[0] == "tersely", line
            own = ["--model", "encoder"] if words[1] == "train" and "--model" not in words else []
            done = run_command(*words[1:], *own, *QUICK.get(words[1], []), stdin=said or None)
            assert done.exit_code == 0, f"{line}\n{done.stdout}{done.stderr}"

    def serve(self, words: list[str]) -> None:
        """Start a server on a free port in the place of the page's."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "tersely", "serve", *words, "--port", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(3000):
            try:
                urllib.request.urlopen(self.address("/health"), timeout=5).close()
                return
            except OSError:
                assert self.server.poll() is None, "the server ended"
                time.sleep(0.1)
        raise AssertionError("the server did not come up")

    def address(self, path: str) -> str:
        """Return where to ask for a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, words: list[str]) -> None:
        """Ask what curl would, and expect an answer."""
        options = dict(zip(words[1::2], words[2::2], strict=True))
        data = options["-d"].encode() if "-d" in options else None
        headers = {"content-type": "application/json"} if data else {}
        path = "/" + words[0].partition("/")[2]
        request = urllib.request.Request(self.address(path), data, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            body = answer.read().decode()
        assert answer.status == 200 and (not data or "score" in json.loads(body)[0])

    def end(self) -> None:
        """Stop the server."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [*READERS, *REFERENCE])
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_every_snippet_of_a_page_runs_in_its_order(name, folder):
    path = ROOT / name if name == "README.md" else ROOT / "docs" / name
    found = FENCE.findall(path.read_text("utf-8"))
    texts, labels = labelled(40, seed=3)
    names = {"Classifier": Classifier, "texts": texts, "labels": labels}
    names["frame"] = {name: np.array(own) for name, own in (("text", texts), ("label", labels))}
    shell = Shell()
    try:
        for language, code in found:
            if language == "python" and not any(word in code for word in OUTSIDE):
                exec(compile(code.replace("bert-base-uncased", "encoder"), name, "exec"), names)
            elif language == "bash":
                for line in code.replace("\\\n", " ").splitlines():
                    shell.run(line)
    finally:
        shell.end()
