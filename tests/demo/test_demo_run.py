"""The demo from its corpus to its table, with a tiny encoder and a few documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo"))
import run
from documentation import Document
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


@pytest.mark.slow
def test_commands_are_shown_and_signs_of_life_given(tmp_path, monkeypatch, capfd):
    sides = [
        [(label, Document("m", "f", text)) for text, label in zip(*labelled(*size), strict=True)]
        for size in ((60,), (12,))
    ]
    encoder = save_encoder(tmp_path / "encoder", max_position_embeddings=256)
    monkeypatch.setattr(run, "packaged_encoder", lambda: encoder)
    monkeypatch.setattr(run, "build_corpus", lambda *_: sides)
    monkeypatch.setattr(run, "_EVERY", 0.5)
    out = tmp_path / "out"
    run.main(["--out", str(out)])
    said = capfd.readouterr()
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert "dense, packed" in said.out and "TF-IDF" in said.out
    assert said.err.count("\n$ tersely train") == 2 and "\n$ tersely bench" in said.err
    assert "\n… train: " in said.err and "\r" not in said.err  # no terminal: lines, no bars
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert {each["name"] for each in report["results"]} == set(run.ABOUT)


def test_a_command_that_fails_ends_the_demo(capfd):
    with pytest.raises(SystemExit, match="the command ended with"):
        run.command("train no-such-file.csv --out nowhere")
    assert "no-such-file.csv" in capfd.readouterr().err
