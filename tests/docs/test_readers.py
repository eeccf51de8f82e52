"""Every snippet of every page is run, from top to bottom, on made-up words and a tiny encoder.

What is new is run without being listed: a page stands in the slow suite only if it is named here.
The pages about adding something are run by `test_docs.py`, which also compares what is shown of
the command line with what there is.
"""

import csv
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_docs import FENCE, PAGES, ROOT, WORKED

from commands import run_command
from tersely import Classifier
from tersely.accelerate import search
from tersely.reduction import presets
from tersely.reduction.parts import EXTENSIONS
from three_kinds import WORDS, draw_kinds
from tiny import tiny_encoder, tiny_tokenizer

# Languages of blocks that are run; `yaml` is the file of options of its page, and text is shown.
RUN, SHOWN = ("python", "bash", "yaml"), ("",)
# Pages that take longer than a few seconds.
SLOW = "README bench certificates choosing-tokens explain export fine-tuned-model".split()
SLOW += "getting-started labelled-documents production scoring serving".split()
# So that few steps are enough, and a page may write to one place twice.
QUICK = {
    "train": ["--overwrite", "--set", "epochs=1"],
    "accelerate": ["--overwrite", "--rounds", "1"],
    "export": ["--overwrite"],
    "recalibrate": ["--overwrite"],
}
METHOD = """
from tersely import Plan
from tersely.reduction import register_preset


@register_preset("mine")
def mine() -> Plan:
    \"\"\"Remove nothing, under another name.\"\"\"
    return Plan("mine", [])
"""


def write_csv(name: str, **columns: list[Any]) -> None:
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])


def draw(count: int, seed: int) -> list[str]:
    """Different texts of 40 words each."""
    return [" ".join((text.split() * 14)[:40]) for text in draw_kinds(count, seed=seed)[0]]


@pytest.fixture(scope="module")
def models(kinds, tmp_path_factory) -> Path:
    """A fine-tuned classifier, its cascade, and an encoder to start from."""
    folder = tmp_path_factory.mktemp("models")
    dense = shutil.copytree(kinds, folder / "dense")
    config = json.loads((dense / "config.json").read_text())
    config["id2label"] = {"0": "negative", "1": "neutral", "2": "positive"}
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (dense / "config.json").write_text(json.dumps(config))
    texts = draw(400, seed=0)
    original = Classifier.from_pretrained(dense, device="cpu")
    original.accelerate(texts, limit=0.05).save(folder / "fast")
    tiny_encoder("bert", num_hidden_layers=4).save_pretrained(folder / "encoder")
    tiny_tokenizer(WORDS).save_pretrained(folder / "encoder")
    return folder


@pytest.fixture
def folder(models, tmp_path, monkeypatch) -> Path:
    """What a reader has: files of documents, a fine-tuned classifier, one with a cascade."""
    monkeypatch.chdir(tmp_path)
    known = Classifier.from_pretrained(models / "dense", device="cpu")
    sizes = {"texts": 1600, "labelled": 800, "new-texts": 400, "documents": 240}
    files = "texts labelled new-texts reviews train test documents tags unlabelled".split()
    for seed, name in enumerate(files, start=1):
        texts = draw(sizes.get(name, 60), seed)
        if name == "documents":  # for int8: of a tiny model it turns what the model is unsure of
            surest = known.predict_proba(texts).max(axis=1).argsort()[-60:]
            texts = [texts[number] for number in surest]
        labels = known.predict(texts).tolist()
        write_csv(f"{name}.csv", text=texts, label=labels, body=texts, mood=labels)
    write_csv("pairs.csv", claim=texts, evidence=texts[::-1], label=labels)
    write_csv("stars.csv", text=texts, stars=[len(text) / 7 for text in texts])
    write_csv("new.csv", text=texts[:12])
    Path("in").mkdir()
    pq.write_table(pa.table({"id": range(60), "text": texts}), "in/some.parquet")
    Path("letter.txt").write_text(texts[0])
    Path("my_method.py").write_text(METHOD)
    shutil.copytree(models / "encoder", "encoder")
    for name in ("my-classifier", "dense", "dense-model", "model"):
        shutil.copytree(models / "dense", name)
    for name in ("faster", "fast"):
        shutil.copytree(models / "fast", name)
    monkeypatch.setattr(search, "GAIN", 0.0)  # a busy machine's speed is not the page's
    monkeypatch.setenv(EXTENSIONS, "")
    registry = sys.modules[presets.__module__]  # what a page registers is forgotten afterwards
    monkeypatch.setattr(registry, "_PRESETS", dict(registry._PRESETS))
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
        # A cluster is for `tests/score`.
        if not words or words[0] in ("pip", "make") or "--ray" in words:
            return
        if words[0] == "curl":
            self.ask(words[1:])
        elif words[1] == "serve":
            self.serve(words[2:])
        else:
            assert words[0] == "tersely", line
            own = ["--model", "encoder"] if words[1] == "train" and "--model" not in words else []
            own += QUICK.get(words[1], [])
            if "--resume" in words:
                own.remove("--overwrite")
                Path(words[words.index("--out") + 1], "checkpoints").mkdir(exist_ok=True)
            done = run_command(*words[1:], *own, stdin=said or None)
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


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT)).removeprefix("docs/").removesuffix(".md")


def snippets(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page that are run, with their languages."""
    return [each for each in FENCE.findall(page.read_text("utf-8")) if each[0] in RUN]


def pages() -> list[Any]:
    """Return all pages that have a block, but for those that `test_docs.py` runs."""
    found = [page for page in PAGES if snippets(page) and page.name not in WORKED]
    slow = {name: pytest.mark.slow if name in SLOW else () for name in map(name_of, found)}
    return [pytest.param(p, marks=slow[name_of(p)], id=name_of(p)) for p in found]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_hides_from_being_run(page):
    text = page.read_text("utf-8")
    opened = re.findall(r"^ *(?:```+|~~~+)(.*)$", text, re.MULTILINE)[::2]
    assert len(opened) == len(FENCE.findall(text)) and set(opened) <= {*RUN, *SHOWN}


@pytest.mark.parametrize("page", pages())
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_every_snippet_of_a_page_runs_in_its_order(page, folder, monkeypatch):
    found, shell = snippets(page), Shell()
    texts, labels = draw_kinds(40, seed=20)
    names: dict[str, Any] = {"__name__": "__main__", "Classifier": Classifier}
    names |= {"texts": texts, "labels": labels}
    names["frame"] = {"text": np.array(texts), "label": labels}
    # What a test has not: a cluster and a service. What Spark is handed is run in tests/score.
    names |= {"spark": MagicMock(), "ask_the_service": lambda texts: np.ones((len(texts), 3))}
    ray = ModuleType("ray")
    ray.__spec__, ray.data = ModuleSpec("ray", None), MagicMock()
    monkeypatch.setitem(sys.modules, "ray", ray)
    for language, code in found:
        if language == "yaml":
            Path("train.yaml").write_text(code)
    try:
        for language, code in found:
            if language == "python":
                code = code.replace("bert-base-uncased", "encoder")
                exec(compile(code, page.name, "exec"), names)
            elif language == "bash":
                for line in code.replace("\\\n", " ").splitlines():
                    shell.run(line)
    finally:
        shell.end()
    if handed := ray.data.read_parquet.return_value.map_batches.call_args:
        predictor = handed.args[0](**handed.kwargs["fn_constructor_kwargs"])
        assert len(predictor(pq.read_table("in/some.parquet"))) == 60
