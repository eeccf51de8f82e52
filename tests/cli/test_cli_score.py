"""`tersely score` as it is typed: what it says, what it prints, how it ends."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from cli_documents import rows


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"text": [*(text for text, _ in rows(9)), None]})
    parquet.write_table(table, folder / "a.parquet")
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
    assert "others now: 'option probabilities'" in other.stderr
