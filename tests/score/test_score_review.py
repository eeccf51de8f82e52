"""With a limit on the error a run marks the rows that people should look at, and counts them."""

import json

import pyarrow.parquet as parquet
import pytest

from cascades import TEXTS, save_cascade, save_dense, save_reviewed
from tersely import Classifier
from tersely.errors import ScoringError
from tersely.score import score

MACHINE = {"device": "cpu", "workers": 1, "shard_rows": 20}


@pytest.mark.filterwarnings("ignore:2 of 62 rows have no label")
def test_rows_are_marked_counted_and_the_limit_is_the_runs(write, tmp_path):
    dense = save_dense(tmp_path / "dense")
    model = save_reviewed(save_cascade(dense, tmp_path / "cascade"), tmp_path / "sure")
    write("a.parquet", 62, texts=[*TEXTS, None, ""])
    summary = score(model, tmp_path / "in", tmp_path / "out", **MACHINE)
    assert summary.review.startswith("30 of 60 documents are set apart for review")
    sure = Classifier.from_pretrained(model, device="cpu")
    rows = parquet.read_table(tmp_path / "out", columns=["review"])["review"].to_pylist()
    assert rows == sure.set_apart(sure.forward(sure.encode(TEXTS))).tolist()
    assert json.loads((tmp_path / "out" / "_summary.json").read_text())["review"] == 30
    with pytest.raises(ScoringError, match="'option max_error'"):
        score(model, tmp_path / "in", tmp_path / "out", max_error=1, **MACHINE)
