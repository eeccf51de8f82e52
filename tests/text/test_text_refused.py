"""Every bad input that is foreseen, and a piece of what is said about it."""

from __future__ import annotations

import gzip
import io
import sys

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tersely.errors import DataError, TerselyWarning
from tersely.text import Documents, read_documents

JSON_TEXTS = '{"text": "a", "label": "x"}\n{"text": "b", "label": %s}\n'
REQUIRED = {"labels": "required"}
REGRESSION = {"problem_type": "regression"}
SINGLE = "single_label_classification"

BAD_FILES = [
    # name, content, options, what the message says
    ("e.csv", "", {}, "holds no document"),
    ("e.csv", "text,label\n", {}, "holds no document"),
    ("e.jsonl", "\n \n", {}, "holds no document"),
    ("e.txt.gz", gzip.compress(b"", mtime=0), {}, "empty in every row"),
    ("x.xlsx", "text\na\n", {}, "suffix of a data file must be one of .csv, .tsv"),
    ("b.parquet", b"PAR1 and then nonsense", {}, "not a whole Parquet file"),
    ("b.csv.gz", gzip.compress(b"text\n" + b"a\n" * 99, mtime=0)[:-9], {}, "whole gzip file"),
    ("b.csv.zst", b"no zstd", {}, "cannot be read as a whole zstd file"),
    ("l.csv", b"\xef\xbb\xbftext\n\xe9\n", {}, "byte 0xe9 at position 8 .* WINDOWS-1252"),
    ("l.csv", "text\na\n".encode("utf-16"), {}, "iconv -f UTF-16"),
    ("r.csv", 'text,label\n"a\nb",x\nb,y,z\n', {}, "row 2 of .* must have 2 cells .* and has 3"),
    (
        "q.csv",
        'label,text\nx,a\ny,"b\nz,c\n',
        {},
        "row 2 of .* unexpected end .* close every quote",
    ),
    ("q.csv", 'label,"text\nx,a\n', {}, "header of .* unexpected end of data"),
    ("s.tsv", "text,label\na,x\n", {}, "separated by .* only column is 'text,label'"),
    ("d.csv", "text,text,label\na,b,c\n", {}, "several named 'text'"),
    ("c.csv", "text,label\na,x\n", {"text_column": "txt"}, "'text', 'label'; did you mean 'text'"),
    ("c.csv", "one,two\na,b\n", {}, "cannot be guessed among 'one', 'two'"),
    ("c.csv", "text,words\na,b\n", REQUIRED, "labels are needed, .* 'text', 'words'"),
    ("c.csv", "a,b\nx,y\n", {"text_column": "a", "label_column": "a"}, "must differ"),
    ("t.csv", "text,id\n,1\n ,2\n", {}, "'text' of .* is empty in every row; .*'text', 'id'"),
    ("j.jsonl", '{"text": "a"}\n\n{"text": \n', {}, "line 3 of .* is broken: Expecting value"),
    ("j.jsonl", '{"text": "a"}\n["b"]\n', {}, "line 2 of .* must be a JSON object .* list"),
    ("j.jsonl", '{"text": ' + "[" * 200_000 + "\n", {}, "line 1 of .* is broken"),
    ("j.jsonl", '{"text": ' + "1" * 5000 + "}\n", {}, "line 1 of .* is broken"),
    ("j.jsonl", '{"text": 1}\n', {}, "holds 1 in 1 row .*; its columns are 'text'"),
    ("j.jsonl", '{"text": "a"}\n{"text": 1}\n', {}, "'text' of .* must hold values of one type"),
    ("j.jsonl", '{"text": "a"}\n{"text": null}\n{}\n', {}, r"None in 2 rows \(2, 3\)"),
    ("j.jsonl", '{"text": "\\ud800"}\n', {}, "surrogates not allowed"),
    ("m.jsonl", JSON_TEXTS % '["x"]', {}, "'label' of .* must hold values of one type"),
    ("m.jsonl", JSON_TEXTS % '" "', REQUIRED, r"has none in 1 row \(2\)"),
    ("m.jsonl", '{"text": "a", "label": {"n": 1}}\n', {}, "must be text or a number"),
    ("m.jsonl", '{"text": "a", "label": [1, null]}\n', {}, "one holds a blank"),
    ("m.jsonl", '{"text": "a", "label": ["x"]}\n', {"problem_type": SINGLE}, "holds lists"),
    ("n.csv", "text,label\na,\nb,\n", REQUIRED, r"has none in 2 rows \(1, 2\)"),
    ("n.csv", "text,label\na,1\nb,nan\n", {}, "holds numbers, and 'nan' in row 2"),
    ("f.csv", "text,label\na,1\nb,0.5\n", {}, "'0.5' in row 2 .* problem type regression"),
    ("f.csv", "text,label\na,1\nb,inf\n", REGRESSION, "finite numbers .* row 2"),
    ("f.csv", "text,label\na,1\n", {"label_separator": "|"} | REGRESSION, "leave one of them out"),
    ("o.csv", "text\na\n", {"split": "test"}, "can be chosen of a Hub data set"),
    ("o.csv", "text\na\n", {"problem_type": "regresion"}, "must be one of 'single_label"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD_FILES)
def test_bad_file(tmp_path, name, content, options, message):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message) as caught:
        read_documents(path, **options)
    assert "\n" not in str(caught.value)


ZIP = b"PK\x03\x04\x14\x00"
BINARY_FILES = [
    ("a.csv", gzip.compress(b"text\na\n", mtime=0), r"gzip data; give it the suffix \.gz"),
    ("a.csv.gz", gzip.compress(gzip.compress(b"text\na\n", mtime=0), mtime=0), "gzip data"),
    ("a.tsv", b"\x28\xb5\x2f\xfd\x04", "zstd data"),
    ("a.txt", ZIP, "a workbook or another zip archive; export it as CSV"),
    ("a.csv", b"PAR1\x15\x04PAR1", "a Parquet file"),
    ("a.jsonl", b"%PDF-1.7", "a PDF"),
]


@pytest.mark.parametrize(("name", "content", "message"), BINARY_FILES)
def test_files_that_are_no_text_are_named(tmp_path, name, content, message):
    """F12: the advice was to save them as UTF-8."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} must be text, and holds {message}"):
        read_documents(tmp_path / name)


BAD_TABLES = [
    ({"text": [b"a"], "label": ["x"]}, "'text' .* holds b'a' in 1 row .*; .*'text', 'label'"),
    ({"text": ["a", "b"], "label": [0.0, float("nan")]}, r"has none in 1 row \(2\)"),
    ({"text": ["a", "b"], "label": [0.25, 0.5]}, "0.25 in row 1 .*regression"),
    ({"text": ["a"] * 9, "label": ["x"] + [None] * 8}, r"8 rows \(first 2, 3, 4, 5, 6\)"),
]


@pytest.mark.parametrize(("columns", "message"), BAD_TABLES)
def test_bad_parquet(tmp_path, columns, message):
    parquet.write_table(pa.table(columns), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=message):
        read_documents(tmp_path / "bad.parquet")


BAD_FOLDERS = [
    ({}, "holds no text; give a data file itself"),
    ({"a.csv": "text\na\n"}, "holds no text; give a data file itself"),
    ({"train/pos/1.txt": "a", "test/pos/1.txt": "a"}, "look like splits"),
    ({"data/part.csv": "text\na\n"}, "holds the data file data/part.csv"),
    ({"pos/1.txt": b"\xff", "neg/1.txt": "a"}, "1.txt is not UTF-8"),
]


@pytest.mark.parametrize(("files", "message"), BAD_FOLDERS)
def test_bad_folder(tmp_path, files, message):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        read_documents(tmp_path)


def test_missing_file_names_a_close_one(tmp_path):
    (tmp_path / "reviews.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"no file or folder .*did you mean 'reviews.csv'"):
        read_documents(tmp_path / "review.csv")
    with pytest.raises(DataError, match="check the spelling"):
        read_documents(tmp_path / "nowhere" / "review.csv")


@pytest.mark.parametrize(("data", "message"), [(b"", "is empty"), (b"a\xff", "position 1")])
def test_bad_standard_input(monkeypatch, data, message):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(DataError, match=f"standard input .*{message}"):
        read_documents("-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", None],), r"list of texts .* None in 1 row \(2\)"),
        ((["a", "\ud800"],), "row 2 holds half of a surrogate pair"),
        ((["a"], ["x"], ["b", "c"]), "2 in text_pair"),
        ((["a", "b"], ["x", None]), "has none in 1 row"),
        ((["a", "b"], ["x", 1]), "both 'x' and 1"),
        ((["a", "b"], [1, 2.5]), "2.5 in row 2"),
    ],
)
def test_bad_lists(arguments, message):
    with pytest.raises(DataError, match=message):
        Documents.from_lists(*arguments)


def test_empty_texts_are_kept_and_counted_once(tmp_path):
    (tmp_path / "a.csv").write_text('text,id\nx,1\n,2\n"  ",3\n')
    with pytest.warns(TerselyWarning, match=r"empty text in 2 rows \(2, 3\) of 3; they") as caught:
        documents = read_documents(tmp_path / "a.csv")
    assert documents.texts == ["x", "", "  "]
    assert len(caught) == 1


def test_label_column_without_labels_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,\ny,\n")
    with pytest.warns(TerselyWarning, match="holds no label"):
        documents = read_documents(tmp_path / "a.csv")
    assert (documents.labels, documents.label_column) == (None, None)
