"""The demo from its corpus to its table, with a tiny encoder and a few documents."""

from __future__ import annotations

import json
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo"))
import run
from documentation import Document
from tersely.cli import app
from words import labelled, save_encoder

RESULTS = [
    {
        "name": name,
        "quality": {"accuracy": accuracy},
        "speedup": {"median": speed},
        "seconds": [1.0 / speed, 1.1 / speed],
    }
    for name, accuracy, speed in [
        ("dense", 0.705, 1.31),
        ("topk", 0.698, 2.62),
        ("pipeline", 0.705, 1.0),
        ("tfidf", 0.667, 1234.5),
    ]
]


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (RESULTS, "3.8 points above TF-IDF"),
        (RESULTS[:3], "by -0.7 points (chance: ±4)."),
    ],
)
def test_the_table_fits_80_columns_and_ends_in_a_verdict(results, verdict):
    text = run.table({"results": results, "documents": 192, "judged": 600})
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:5] for line in lines[2:5]] == ["dense", "dense", "topk:"]
    assert " ".join(verdict.split()) in " ".join(text.split())


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A tiny encoder, and a few documents in the place of the libraries'."""
    sides = [
        [(label, Document("m", "f", text)) for text, label in zip(*labelled(size), strict=True)]
        for size in (60, 12)
    ]
    encoder = save_encoder(tmp_path / "encoder", max_position_embeddings=256)
    monkeypatch.setattr(run, "packaged_encoder", lambda: encoder)
    monkeypatch.setattr(run, "build_corpus", lambda *_: sides)
    return tmp_path / "out"


def test_the_commands_have_options_that_exist(stage, monkeypatch, capfd):
    lines = []

    def record(line):
        lines.append(shlex.split(line))
        return json.dumps({"results": RESULTS, "documents": 192, "judged": 600})

    monkeypatch.setattr(run, "command", record)
    run.main(["--out", str(stage)])
    assert "TF-IDF" in capfd.readouterr().out
    assert [verb for verb, *_ in lines] == ["train", "train", "bench"]
    for verb, *words in lines:
        shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
        options = {word for word in words if word.startswith("--")}
        options |= {after.split("=")[0] for word, after in pairwise(words) if word == "--set"}
        assert [option for option in options if option not in shown] == []


@pytest.mark.slow
def test_commands_are_shown_and_signs_of_life_given(stage, monkeypatch, capfd):
    monkeypatch.setattr(run, "_EVERY", 2)
    run.main(["--out", str(stage)])
    said = capfd.readouterr()
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert said.err.count("\n$ tersely train") == 2 and "\n$ tersely bench" in said.err
    assert "\n… train: " in said.err and "\r" not in said.err  # no terminal: lines, no bars
    report = json.loads((stage / "report.json").read_text("utf-8"))
    assert {each["name"] for each in report["results"]} == set(run.ABOUT)


def test_a_command_that_fails_ends_the_demo(capfd):
    with pytest.raises(SystemExit, match="the command ended with"):
        run.command("train no-such-file.csv --out nowhere")
    assert "no-such-file.csv" in capfd.readouterr().err
