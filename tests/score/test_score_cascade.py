"""A cascade in a run: its audit, the same after a kill, and the rows that people should look at."""

import json
import warnings

import pyarrow.parquet as parquet
import pytest

from cascades import TEXTS, count_differing, save_cascade
from commands import run_command
from tersely import Classifier
from tersely.errors import DataError, ModelError, ScoringError
from tersely.score import score
from words import labelled

MACHINE = {"device": "cpu", "workers": 1, "shard_rows": 20}


@pytest.mark.filterwarnings("ignore:.*audited documents")
def test_an_audit_of_all_counts_every_early_answer_that_differs(cascade, write, tmp_path):
    write("a.parquet", 60)
    summary = score(cascade, tmp_path / "in", tmp_path / "out", audit=1.0, **MACHINE)
    assert (summary.audit.limit, summary.audit.audited) == (0.1, 60)
    assert summary.audit.differing == count_differing(cascade, labelled(60)[0]) > 0
    record = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert record["audit"] == json.loads(json.dumps(summary.audit.report()))
    assert record["audit"]["plausible"] is not summary.audit.warns


@pytest.mark.filterwarnings("ignore:.*audited documents")
def test_what_was_audited_before_a_kill_is_counted_and_drawn_again_alike(cascade, write, tmp_path):
    write("a.parquet", 100)
    whole = score(cascade, tmp_path / "in", tmp_path / "whole", audit=0.4, **MACHINE).audit
    out = tmp_path / "broken"
    score(cascade, tmp_path / "in", out, audit=0.4, **MACHINE)
    for part in sorted(out.glob("part-*"))[1:4]:
        part.unlink()
    summary = score(cascade, tmp_path / "in", out, audit=0.4, **MACHINE)
    assert summary.resumed == 40 and summary.audit == whole and 20 < whole.audited < 60
    with pytest.raises(ScoringError, match="'option audit'"):
        score(cascade, tmp_path / "in", out, audit=0.5, **MACHINE)
    with pytest.raises(ScoringError, match="'option max_disagreement'"):
        score(cascade, tmp_path / "in", out, audit=0.4, max_disagreement=0.5, **MACHINE)


def test_a_limit_that_is_no_longer_plausible_is_warned_of(cascade, write, tmp_path):
    write("a.parquet", 800, seed=3)
    # Of a random head; allowed are 80.
    assert count_differing(cascade, labelled(800, seed=3)[0]) > 120
    words = ("score", cascade, tmp_path / "in", tmp_path / "out", "--device", "cpu")
    done = run_command(*words, "--audit", "100%", "--workers", 1)
    assert done.exit_code == 0 and "texts have changed: recalibrate" in done.stderr


def test_what_cannot_be_audited_is_refused(dense, cascade, write, tmp_path):
    write("a.parquet", 5)
    out = tmp_path / "out"

    def refused(error, message, model=cascade, **options):
        with warnings.catch_warnings(), pytest.raises(error, match=message):
            score(model, tmp_path / "in", out, **({"audit": 0.1} | options), **MACHINE)
        assert not out.exists()

    refused(ModelError, "has no cascade", dense)
    refused(ModelError, "reference answers all", max_disagreement=0)
    refused(DataError, "a share from 0 to 1, got 2", audit=2)
    lossy = save_cascade(dense, tmp_path / "lossy", "loss")
    refused(ModelError, "a limit on the loss is certified", lossy)


@pytest.mark.filterwarnings("ignore:2 of 62 rows have no label")
def test_rows_are_marked_counted_and_the_limit_is_the_runs(reviewed, write, tmp_path):
    write("a.parquet", 62, texts=[*TEXTS, None, ""])
    summary = score(reviewed, tmp_path / "in", tmp_path / "out", **MACHINE)
    assert summary.review.startswith("30 of 60 documents are marked for review")
    sure = Classifier.from_pretrained(reviewed, device="cpu")
    rows = parquet.read_table(tmp_path / "out", columns=["review"])["review"].to_pylist()
    assert rows == sure.set_apart(sure.forward(sure.encode(TEXTS))).tolist()
    assert json.loads((tmp_path / "out" / "_summary.json").read_text())["review"] == 30
    with pytest.raises(ScoringError, match="'option max_error'"):
        score(reviewed, tmp_path / "in", tmp_path / "out", max_error=1, **MACHINE)
