"""The demo from its corpus to its report, with a tiny encoder and a few documents."""

from __future__ import annotations

import functools
import io
import json

import pytest
from rich.console import Console

from tersely import TrainingSettings
from tersely.bench import bench
from tersely.demo import run
from tersely.demo.corpus import DemoCorpus
from words import labelled, save_encoder


@pytest.mark.filterwarnings("ignore:the rounds disagree")
def test_quality_is_judged_on_all_and_only_the_table_is_printed(tmp_path, monkeypatch, capsys):
    train, heldout = labelled(30), labelled(12, seed=1)
    corpus = DemoCorpus(*train, ["x"] * 30, *heldout, ["x"] * 12)
    encoder = str(save_encoder(tmp_path / "encoder", max_position_embeddings=128))
    monkeypatch.setattr(run, "demo_encoder", lambda: encoder)
    monkeypatch.setattr(run, "build_corpus", lambda **_: corpus)
    monkeypatch.setattr(run, "_SETTINGS", TrainingSettings(epochs=1, batch_tokens=128))
    monkeypatch.setattr(run, "METHODS", ("dense", "topk"))
    monkeypatch.setattr(run, "_TIMED", 5)
    monkeypatch.setattr(run, "bench", functools.partial(bench, memory=False, rounds=1))
    table = io.StringIO()
    record = run.run_demo(tmp_path / "out", console=Console(file=table, width=120))
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == json.loads(json.dumps(record))
    assert (record["documents"], record["judged"]) == (5, 12)
    assert [each["name"] for each in record["results"]] == list(run.METHODS)
    for each in record["results"]:
        # Twelfths, not fifths.
        assert (each["quality"]["accuracy"] * 12) % 1 == pytest.approx(0, abs=1e-9)
        assert 0 <= each["agreement"] <= 1
    said = capsys.readouterr()
    assert said.out == "" and "Training topk" in said.err and "tersely predict" in said.err
    assert "topk" in table.getvalue() and "Training" not in table.getvalue()
