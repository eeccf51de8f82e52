"""The demo from its corpus to its table, with a tiny encoder and a few documents."""

from __future__ import annotations

import json
import shlex

import pytest
from typer.testing import CliRunner

import run
from documentation import Document
from tersely.cli import app
from words import labelled, save_encoder

FIGURES = [("dense", 0.705, 1.31), ("topk", 0.698, 2.62), ("pipeline", 0.705, 1.0)]
RESULTS = [
    {"name": name, "quality": {"accuracy": right}, "speedup": {"median": x}, "seconds": [1 / x]}
    for name, right, x in [*FIGURES, ("tfidf", 0.667, 1234.5)]
]


def test_the_table_fits_80_columns_and_ends_in_a_verdict():
    text = run.table({"results": RESULTS, "documents": 192, "judged": 600})
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "3.8 points above TF-IDF" in " ".join(text.split())
    without = run.table({"results": RESULTS[:3], "documents": 192, "judged": 600})
    assert without.endswith("by -0.7 points (chance: ±4).")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A tiny encoder, and a few documents in the place of the libraries'."""
    texts = zip(*labelled(72), strict=True)
    found = [(label, Document("m", "f", text)) for text, label in texts]
    encoder = save_encoder(tmp_path / "encoder", max_position_embeddings=256)
    monkeypatch.setattr(run, "packaged_encoder", lambda: encoder)
    monkeypatch.setattr(run, "build_corpus", lambda *_: (found[12:], found[:12]))
    return tmp_path / "out"


def test_the_commands_have_options_that_exist(stage, monkeypatch):
    lines = []

    def record(line):
        lines.append(shlex.split(line))
        return json.dumps({"results": RESULTS, "documents": 192, "judged": 600})

    monkeypatch.setattr(run, "command", record)
    run.main(["--out", str(stage)])
    assert [verb for verb, *_ in lines] == ["train", "train", "bench"]
    for verb, *words in lines:
        shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
        options = {word for word in words if word.startswith("--")}
        assert [option for option in options if option not in shown] == []


@pytest.mark.slow
def test_commands_are_shown_and_signs_of_life_given(stage, monkeypatch, capfd):
    monkeypatch.setattr(run, "_EVERY", 2)
    run.main(["--out", str(stage)])
    said = capfd.readouterr()
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert said.err.count("\n$ tersely train") == 2 and "\n$ tersely bench" in said.err
    assert "\n… train: " in said.err and "\r" not in said.err  # no terminal: lines, no bars
    assert (stage / "report.json").is_file()


def test_a_command_that_fails_ends_the_demo():
    with pytest.raises(SystemExit, match="the command ended with"):
        run.command("train no-such-file.csv --out nowhere")
