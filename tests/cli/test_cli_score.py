"""`tersely score` as it is typed: what it says, what it prints, how it ends."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from cli_documents import rows

from tersely.cli.score import _spell


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    texts = [text for text, _ in rows(9)]
    parquet.write_table(pa.table({"text": [*texts, None]}), folder / "a.parquet")
    return folder


def test_it_scores_and_goes_on(run, model, inputs, tmp_path):
    out = tmp_path / "out"
    words = ["score", model, str(inputs / "*.parquet"), out, "--device", "cpu", "--workers", "1"]
    done = run(*words, "--probabilities", "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["rows"], record["bad"], record["shards"], record["resumed"]) == (10, 1, 1, 0)
    assert "holds 9 labelled rows in 1 part" in done.stderr
    assert "warning: 1 of 10 rows have no label" in done.stderr
    table = parquet.read_table(out)
    assert table.column_names[-2:] == ["probability_neg", "probability_pos"]
    again = run(*words, "--probabilities")
    assert again.exit_code == 0 and "10 rows of them by earlier runs" in again.stderr
    other = run(*words)
    assert other.exit_code == 1 and other.stdout == ""
    assert "cannot go on, because probabilities was true and is false" in other.stderr


def test_a_configuration_has_the_options_names(run, model, inputs, tmp_path):
    config = tmp_path / "score.yaml"
    for key, code in (("id-column", 1), ("id_column", 1), ("id-columns", 2)):
        config.write_text(f"{key}: [nr]\n")
        result = run("score", model, inputs, tmp_path / "out", "--config", config)
        assert result.exit_code == code
        wanted = "no column 'nr' to keep" if code == 1 else "did you mean 'id-column'"
        assert wanted in " ".join(result.stderr.replace("│", " ").split())


def test_inputs_and_output_are_both_needed(run, model, inputs):
    result = run("score", model, inputs)
    assert result.exit_code == 2 and "last the folder to write" in result.stderr


def test_progress_has_the_rate_and_the_time_left():
    assert _spell(10, 20, None) == ""
    assert _spell(10, 20_000, 2.5) == "2.5 rows/s, 2:13:16 left"
