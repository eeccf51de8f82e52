"""Runs: what they write, what they go on with, and what they refuse."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tersely import Classifier, errors
from tersely.errors import DataError, ScoringError, TerselyWarning
from tersely.score import score, workers
from tersely.score.parts import claim
from words import labelled

MACHINE = {"device": "cpu", "workers": 2}


def rows(out: Path) -> list[dict]:
    return parquet.read_table(out).to_pylist()


def test_a_run_labels_every_row(model, write, tmp_path):
    write("a.parquet", 25)
    write("b.parquet", 30, seed=1)
    told = []
    words = [model, str(tmp_path / "in" / "*.parquet"), tmp_path / "out"]
    options = {"id_columns": ["id"], "shard_rows": 10, **MACHINE}
    summary = score(*words, progress=lambda *now: told.append(now), **options)
    assert (summary.rows, summary.bad, summary.shards, summary.resumed) == (55, 0, 6, 0)
    found = rows(tmp_path / "out")
    texts = labelled(25)[0] + labelled(30, seed=1)[0]
    assert [row["label"] for row in found] == list(Classifier.from_pretrained(model).predict(texts))
    expected = [("a.parquet", n + 1, f"a.parquet-{n}") for n in range(25)]
    expected += [("b.parquet", n + 1, f"b.parquet-{n}") for n in range(30)]
    assert [(row["source_file"], row["source_row"], row["id"]) for row in found] == expected
    assert list(found[0]) == ["source_file", "source_row", "id", "label", "score"]
    assert told[0] == (0, 55) and told[-1] == (55, 55)
    # Again, there is nothing to do, and nothing is touched.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert score(*words, **options).resumed == 55
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}


def test_progress_moves_within_a_shard(model, write, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_SECONDS", 0.01)
    file, told = write("a.parquet", 80), []
    options = {"device": "cpu", "batch_tokens": 16, "progress": lambda done, _: told.append(done)}
    assert score(model, file, tmp_path / "out", **options).shards == 1
    assert told == sorted(told) and told[-1] == 80 and any(0 < done < 80 for done in told)


def test_bad_rows_are_set_aside(model, write, tmp_path):
    write("a.parquet", 4, texts=["cat", None, "", "dog"])
    write("b.parquet", 2, texts=[" ", None])
    options = {"id_columns": ["id"], "shard_rows": 3, **MACHINE}
    with pytest.warns(TerselyWarning, match="4 of 6 rows have no label"):
        summary = score(model, tmp_path / "in", tmp_path / "out", **options)
    assert summary.bad == 4
    assert [row["source_row"] for row in rows(tmp_path / "out")] == [1, 4]
    assert [tuple(row.values()) for row in rows(tmp_path / "out" / "_bad")] == [
        ("a.parquet", 2, "a.parquet-1", "null"),
        ("a.parquet", 3, "a.parquet-2", "empty text"),
        ("b.parquet", 1, "b.parquet-0", "empty text"),
        ("b.parquet", 2, "b.parquet-1", "null"),
    ]


def test_long_documents_are_counted_over_interruptions(model, write, tmp_path):
    write("a.parquet", 2, texts=["cat " * 100, "dog"])
    out = tmp_path / "in" / "out"  # whose parts are no inputs
    sentence = r"1 of 2 documents are longer than 16 tokens.* not read \(86 of 105 tokens"
    for _ in range(2):
        with pytest.warns(TerselyWarning, match=sentence):
            score(model, tmp_path / "in", out, max_length=16, shard_rows=1, **MACHINE)
    assert json.loads((out / "_summary.json").read_text())["unread"] == 86


def test_what_was_begun_is_the_only_run_that_goes_on(model, several, write, tmp_path):
    write("a.parquet", 12)
    write("b.parquet", 5)
    out = tmp_path / "out"
    score(model, tmp_path / "in", out, shard_rows=10, **MACHINE)

    def refused(because: str, by: str = model, **options) -> None:
        with pytest.raises(ScoringError, match=f"cannot continue, .* changed: {because};"):
            score(by, tmp_path / "in", out, **{"shard_rows": 10, **MACHINE, **options})

    refused("'option max_length'", max_length=20)
    refused("'option id_columns'", id_columns=["id"])
    refused("'model'", by=several)
    write("b.parquet", 5, seed=3)
    refused("'input b.parquet'")
    os.rename(tmp_path / "in" / "b.parquet", tmp_path / "in" / "c.parquet")
    refused("'input b.parquet', 'input c.parquet'")
    assert len(rows(out)) == 17
    score(model, tmp_path / "in", out, shard_rows=3, overwrite=True, **MACHINE)
    assert len(rows(out)) == 17 and len(list(out.glob("part-*"))) == 6


def test_the_machine_may_change(model, write, tmp_path):
    write("a.parquet", 12)
    out, moved = tmp_path / "out", tmp_path / "moved"
    score(model, tmp_path / "in", out, shard_rows=5, device="cpu", workers=1, batch_tokens=64)
    os.rename(tmp_path / "in", moved)
    assert score(model, moved, out, shard_rows=5, batch_tokens=128, **MACHINE).resumed == 12


def test_a_part_that_is_not_whole_or_not_ours_is_done_again(model, write, tmp_path):
    write("a.parquet", 12)
    out = tmp_path / "out"
    score(model, tmp_path / "in", out, shard_rows=5, **MACHINE)
    whole = rows(out)
    parts = sorted(out.glob("part-*"))
    parts[0].write_bytes(parts[0].read_bytes()[:-20])
    parquet.write_table(parquet.read_table(parts[1]).replace_schema_metadata({}), parts[1])
    (out / ".writing-x").mkdir()
    summary = score(model, tmp_path / "in", out, shard_rows=5, **MACHINE)
    assert summary.resumed == 2 and rows(out) == whole
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("always", [False, True])
def test_a_worker_that_is_killed_is_replaced_but_not_for_ever(model, write, tmp_path, always):
    write("a.parquet", 60)
    killed = []

    def kill(*_) -> None:  # from the first while they still load
        for worker in multiprocessing.active_children()[: 1 if always or not killed else 0]:
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    words = (model, tmp_path / "in", tmp_path / "out")
    options = {"shard_rows": 20, "batch_tokens": 64, "device": "cpu", "workers": 1}
    with pytest.warns(TerselyWarning, match="lack of memory.* repeated with (32|16) tokens"):
        if always:
            with pytest.raises(ScoringError, match="on a.parquet.* 3 times"):
                score(*words, progress=kill, **options)
            return
        score(*words, progress=kill, **options)
    assert killed
    assert [row["source_row"] for row in rows(tmp_path / "out")] == list(range(1, 61))


def test_nothing_is_removed_for_a_run_that_cannot_begin(
    model, write, damage, tmp_path, monkeypatch
):
    path = write("a.parquet", 12)
    out = tmp_path / "out"
    score(model, path, out, shard_rows=5, **MACHINE)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    other = tmp_path / "labelled.parquet"
    parquet.write_table(parquet.read_table(path).rename_columns(["label", "text"]), other)
    monkeypatch.setitem(sys.modules, "ray.data", None)

    def refused(error: type, message: str, by: object = model, rows: Path = path, **options):
        with pytest.raises(error, match=message):
            score(by, rows, out, overwrite=True, **(MACHINE | options))

    refused(errors.ModelError, "cannot be read", by=tmp_path / "typo")
    refused(DataError, "rename it in the input", rows=other, id_columns=["label"])
    refused(errors.MissingExtraError, "ray", ray="local")
    refused(errors.TerselyError, "keep", keep=2.0)
    damage(path, 0)
    refused(DataError, "cannot be read")
    assert before == {file.name: file.read_bytes() for file in out.iterdir()}


def test_what_cannot_be_begun(model, write, tmp_path):
    path = write("a.parquet", 5)
    out = tmp_path / "out"

    def refused(error: type, message: str, out: Path = out, **options) -> None:
        with pytest.raises(error, match=message):
            score(model, path, out, **MACHINE, **options)

    refused(errors.OutputError, "must not hold inputs", tmp_path / "in")
    refused(DataError, "has no 'nr'", id_columns=["nr"])
    refused(DataError, "there is no column 'txt'", text_column="txt")
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    refused(errors.OutputError, r"holds no run \(mine.txt is there\)", overwrite=True)
    (out / "mine.txt").unlink()
    with claim(out):
        refused(ScoringError, "another process")
    (out / "_manifest.json").write_text("[]")
    refused(ScoringError, "have changed: 'format'")
    write("a.parquet", 0, texts=[])
    refused(DataError, "hold no row")
