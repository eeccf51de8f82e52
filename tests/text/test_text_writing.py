"""Predictions next to the input: what is written comes back, whole, in order, or not at all."""

import datetime
import decimal
import errno
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.errors import OutputError, TerselyWarning
from tersely.text import check_output, read_documents, write, write_table
from tersely.text.labels import is_blank

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
NAMES = [f"out{kind}{compression}" for kind in KINDS for compression in ("", ".gz", ".zst")]
TEXTS = st.lists(
    st.text(st.one_of(st.sampled_from("\",\t\n\r|'\0\u2028\ufeff "), st.characters(codec="utf-8"))),
    min_size=1,
).filter(lambda texts: not all(is_blank(text) for text in texts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
@settings(max_examples=10, deadline=None)
@given(texts=TEXTS)
def test_texts_come_back_in_order(folder, name, texts):
    table = pa.table({"id": [str(index) for index in range(len(texts))], "text": texts})
    written = write_table(folder / name, table, {"label": ["x"] * len(texts)}, overwrite=True)
    documents = read_documents(written, text_column="text", labels="required")
    assert documents.texts == texts
    assert documents.table.column_names == ["id", "text", "label"]
    assert documents.table.drop_columns("label").equals(table)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_lists_of_labels_come_back(tmp_path, name):
    labels = [["a", "b"], [], ["é c"]]
    write_table(tmp_path / name, pa.table({"text": ["t", "u", "v"]}), {"label": labels})
    documents = read_documents(tmp_path / name, problem_type="multi_label_classification")
    assert documents.labels == labels


RICH = pa.table(
    {
        "text": ["a", None],
        "when": pa.array([1, None], pa.timestamp("ns", "UTC")),
        "day": [datetime.date(2024, 2, 29), None],
        "price": [decimal.Decimal("1.10"), None],
        "bytes": [b"\xff\x00", None],
        "nested": [{"a": [1, 2]}, None],
        "bars": [["a|b", "c"], None],
        "half": pa.array([0.5, None], pa.float16()),
        "nothing": pa.nulls(2),
    }
)


def test_json_has_null_for_what_is_no_number(tmp_path):
    table = pa.table({"text": ["t"], "nested": [{"x": [float("nan"), 1.0]}]})
    path = write_table(tmp_path / "out.jsonl", table, {"score": [float("inf")]})
    found = {"text": "t", "nested": {"x": [None, 1.0]}, "score": None}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == found
    assert "NaN" not in write_table(tmp_path / "out.csv", table, {}).read_text()


def test_parquet_keeps_every_type(tmp_path):
    write_table(tmp_path / "a.parquet", RICH, {"score": np.array([0.5, 1.0], np.float32)})
    found = parquet.ParquetFile(tmp_path / "a.parquet").read()
    assert found.drop_columns("score").equals(RICH)
    assert found["score"].type == pa.float32()


def test_other_formats_spell_every_type(tmp_path):
    expected = {
        "text": "a",
        "when": "1970-01-01 00:00:00.000000001Z",
        "day": "2024-02-29",
        "price": "1.10",
        "bytes": "/wA=",
        "nested": {"a": [1, 2]},
        "bars": ["a|b", "c"],
        "half": 0.5,
        "nothing": None,
    }
    write_table(tmp_path / "a.jsonl", RICH, {})
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0]) == expected
    assert set(json.loads(lines[1]).values()) == {None}
    write_table(tmp_path / "a.csv", RICH, {})
    with pytest.warns(TerselyWarning, match="empty text"):
        documents = read_documents(tmp_path / "a.csv", labels="ignore")
    spelled = {
        name: json.dumps(value) if isinstance(value, dict | list) else str(value or "")
        for name, value in expected.items()
    }
    assert documents.table.to_pylist()[0] == spelled


def test_further_columns(tmp_path):
    table = pa.table({"text": ["t"], "label": ["x"]})
    with pytest.warns(TerselyWarning, match="named 'label'; .* to 'label_predicted'") as caught:
        further = {"label": ["y"], "scores": np.array([[0.5, 0.25]])}
        path = write_table(tmp_path / "a.jsonl", table, further)
    assert len(caught) == 1
    found = {"text": "t", "label": "x", "label_predicted": "y", "scores": [0.5, 0.25]}
    assert json.loads(path.read_text("utf-8")) == found


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interruption_costs_nothing(tmp_path, monkeypatch, name, failure):
    def fail_midway(table, sink, *arguments):
        sink.write(b"half")
        raise failure

    monkeypatch.setattr(write, "_write_lines", fail_midway)
    monkeypatch.setattr(write.parquet, "write_table", fail_midway)
    path = tmp_path / name
    for older in ([], [name]):
        with pytest.raises((OutputError, KeyboardInterrupt), match="No space left|^$"):
            write_table(path, pa.table({"text": ["t"]}), {}, overwrite=True)
        assert [entry.name for entry in tmp_path.iterdir()] == older
        assert not older or path.read_text() == "old"
        path.write_text("old")


@pytest.mark.skipif(sys.platform == "win32", reason="making links takes a privilege there")
def test_a_link_keeps_pointing(tmp_path):
    real = tmp_path / "real.csv"
    real.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    write_table(link, pa.table({"text": ["t"]}), {}, overwrite=True)
    assert link.is_symlink() and read_documents(real).texts == ["t"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", r"must end in one of \.csv, \.tsv, \.jsonl, \.ndjson, \.parquet, with"),
        ("a.gz", "an output must end in one of"),
        ("missing/a.csv", "cannot be written: .*No such file"),
        ("folder.csv", "is a directory"),
        ("here.csv", "the output .* exists"),
    ],
)
def test_outputs_that_cannot(tmp_path, name, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "here.csv").touch()
    with pytest.raises(OutputError, match=message):
        check_output(tmp_path / name, overwrite=name != "here.csv")
