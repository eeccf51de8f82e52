"""The pages for three readers are run from top to bottom, on few words and a tiny encoder."""

import csv
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

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
# So that few documents are enough; what a page itself says of these options is not tested here.
QUICK = {"train": ["--set", "epochs=2"], "accelerate": ["--max-disagreement", "10%"]}


def write_csv(path: Path, texts: list[str], labels: list[str] | None = None) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = zip(texts, labels or [""] * len(texts), strict=True)
        head = ["text", "label"] if labels else ["text"]
        csv.writer(file).writerows([head, *(row[: len(head)] for row in rows)])


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What a reader has: files of documents, a fine-tuned classifier, a trained model."""
    for seed, (name, count) in enumerate({"reviews": 150, "test": 40, "texts": 200}.items()):
        write_csv(tmp_path / f"{name}.csv", *labelled(count, seed=seed, words=30))
    write_csv(tmp_path / "new.csv", labelled(12, seed=9)[0])
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": labelled(20, seed=8)[0]}), tmp_path / "in" / "some.parquet")
    save_encoder(tmp_path / "encoder", num_hidden_layers=4)
    save_trained(tmp_path / "given", "dense").rename(tmp_path / "my-classifier")
    Classifier.from_pretrained(tmp_path / "my-classifier").save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "GAIN", 0.0)  # a busy machine's speed is not the page's
    return tmp_path


class Shell:
    """Runs a page's lines; a server that it starts lives until the page ends."""

    def __init__(self) -> None:
        self.server: subprocess.Popen | None = None
        self.port = 0

    def run(self, line: str) -> None:
        """Run one line."""
        words = shlex.split(line, comments=True)
        if not words or words[0] == "pip":
            return
        if words[0] == "curl":
            self.ask(words[1:])
        elif words[1] == "serve":
            self.serve(words[2:])
        else:
            assert words[0] == "tersely", line
            own = ["--model", "encoder"] if words[1] == "train" else []
            done = run_command(*words[1:], *own, *QUICK.get(words[1], []))
            assert done.exit_code == 0, f"{line}\n{done.stdout}{done.stderr}"

    def serve(self, words: list[str]) -> None:
        """Start a server on a free port in the place of the page's."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "tersely", "serve", *words, "--port", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(600):
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


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_every_snippet_of_a_readers_page_runs_in_its_order(name, folder):
    page = (ROOT / "docs" / name).read_text("utf-8")
    found = FENCE.findall(page)
    assert {language for language, _ in found} == {"bash", "python"}
    shell, names = Shell(), {}
    try:
        for language, code in found:
            if language == "python":
                exec(compile(code.replace("bert-base-uncased", "encoder"), name, "exec"), names)
            else:
                for line in code.replace("\\\n", " ").splitlines():
                    shell.run(line)
    finally:
        shell.end()
