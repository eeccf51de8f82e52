"""Every bad input that is foreseen, and a piece of what is said about it."""

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
    ("e.csv", "text,label\n", {}, "holds no document"),
    ("e.txt.gz", gzip.compress(b"", mtime=0), {}, "empty in every row"),
    ("x.xlsx", "text\na\n", {}, "a data file must end in one of .csv, .tsv"),
    ("b.parquet", b"PAR1 and then nonsense", {}, "not a complete Parquet file"),
    ("b.csv.gz", gzip.compress(b"text\n" + b"a\n" * 99, mtime=0)[:-9], {}, "read as a whole"),
    ("l.csv", b"\xef\xbb\xbftext\n\xe9\n", {}, "byte 0xe9 in position 8.* WINDOWS-1252"),
    ("l.csv", "text\na\n".encode("utf-16"), {}, "iconv -f UTF-16"),
    # F12: the only advice was to save them as UTF-8.
    ("a.csv", gzip.compress(b"text\na\n", mtime=0), {}, "give compressed .* their suffix"),
    ("a.jsonl", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", {}, "export workbooks and PDFs as text"),
    ("r.csv", 'text,label\n"a\nb",x\nb,y,z\n', {}, "row 2 of .* it has 3 cells, .* header 2"),
    ("q.csv", 'label,text\nx,a\ny,"b\nz,c\n', {}, "row 2 of .* unexpected end .* every quote"),
    # Backslashes are no quotes in CSV, and were half taken for such.
    ("e.csv", 'text,label\n"a \\"b\\" c",x\n', {}, "double those that belong to the text"),
    ("d.csv", "text,text,label\na,b,c\n", {}, "several named 'text'"),
    ("c.csv", "text,label\na,x\n", {"text_column": "txt"}, "'text', 'label'; did you mean 'text'"),
    ("c.csv", "one,two\na,b\n", {}, "cannot be detected among 'one', 'two'"),
    ("c.csv", "text,words\na,b\n", REQUIRED, "labels are needed, .* 'text', 'words'"),
    ("t.csv", "text,id\n,1\n ,2\n", {}, "'text' of .* is empty in every row; .*'text', 'id'"),
    ("j.jsonl", '{"text": "a"}\n\n{"text": \n', {}, "line 3 of .*: Expecting value"),
    ("j.jsonl", '{"text": "a"}\n["b"]\n', {}, "line 2 of .* JSON object .*'list'"),
    ("j.jsonl", '{"text": ' + "[" * 200_000 + "\n", {}, "line 1 of .*recursion"),
    ("j.jsonl", '{"text": "a"}\n{"text": 1}\n', {}, "'text' of .* must hold values of one type"),
    ("j.jsonl", '{"text": "a"}\n{"text": null}\n{}\n', {}, r"None in 2 rows \(2, 3\)"),
    ("j.jsonl", '{"text": "\\ud800"}\n', {}, "surrogates not allowed"),
    ("m.jsonl", JSON_TEXTS % '" "', REQUIRED, r"has none in 1 row \(2\)"),
    ("m.jsonl", '{"text": "a", "label": [1, null]}\n', {}, "text or a number, and one is None"),
    ("m.jsonl", '{"text": "a", "label": ["x"]}\n', {"problem_type": SINGLE}, r"one is \['x'\]"),
    ("f.csv", "text,label\na,1\nb,0.5\n", {}, "row 2 holds '0.5'; .* problem type regression"),
    ("f.csv", "text,label\na,1\nb,inf\n", REGRESSION, "finite numbers .* row 2"),
    ("o.csv", "text\na\n", {"problem_type": "regresion"}, "must be one of 'single_label"),
    (
        "b.parquet",
        {"text": [b"a"], "label": ["x"]},
        {},
        "holds b'a' in 1 row .*'text', 'label'",
    ),
    ("n.parquet", {"text": ["a", "b"], "label": [0.0, float("nan")]}, {}, r"none in 1 row \(2\)"),
    ("n.parquet", {"text": ["a"] * 9, "label": ["x"] + [None] * 8}, {}, r"8 rows \(first 2, 3, 4,"),
]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        parquet.write_table(pa.table(content), path)
        return path
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD_FILES)
def test_bad_file(tmp_path, name, content, options, message):
    with pytest.raises(DataError, match=message) as caught:
        read_documents(write(tmp_path / name, content), **options)
    assert "\n" not in str(caught.value)


BAD_FOLDERS = [
    ({"a.txt": "a"}, "holds no such folder; give a file itself"),
    ({"train/pos/1.txt": "a", "test/pos/1.txt": "a"}, "look like splits"),
    ({"data/part.csv": "text\na\n"}, "holds the data file data/part.csv"),
    ({"pos/1.txt": b"\xff", "neg/1.txt": "a"}, "1.txt must be text in UTF-8"),
]


@pytest.mark.parametrize(("files", "message"), BAD_FOLDERS)
@pytest.mark.filterwarnings("ignore::tersely.errors.TerselyWarning")
def test_bad_folder(tmp_path, files, message):
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(DataError, match=message):
        read_documents(tmp_path)


def test_missing_file_names_a_close_one(tmp_path):
    write(tmp_path / "reviews.csv", "text\na\n")
    with pytest.raises(DataError, match=r"no file or folder .*did you mean 'reviews.csv'"):
        read_documents(tmp_path / "review.csv")
    with pytest.raises(DataError, match="check the spelling"):
        read_documents(tmp_path / "nowhere" / "review.csv")
    write(tmp_path / "rest.csv", "text\na\n")
    with pytest.raises(DataError, match="check the spelling"):  # and not: did you mean rest.csv
        read_documents(tmp_path / "nonexistent.csv")


def test_bad_standard_input(monkeypatch):
    for data, message in (b"", "is empty"), (b"a\xff", "position 1"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(DataError, match=f"standard input .*{message}"):
            read_documents("-")


BAD_LISTS = [
    ((["a", None],), r"list of texts .* None in 1 row \(2\)"),
    ((["a", "\ud800"],), r"whole characters, .* in 1 row \(2\)"),
    ((["a"], ["x"], ["b", "c"]), "1 texts and 2 second texts"),
    ((["a", "b"], [["x"], "y"]), "lists in all rows, and row 2 holds 'y'"),
    ((["a", "b"], [1, 2.5]), "row 2 holds 2.5"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_LISTS)
def test_bad_lists(arguments, message):
    with pytest.raises(DataError, match=message):
        Documents.from_lists(*arguments)


def test_what_is_empty_is_kept_and_counted_once(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\nx,\n,\n" \u200b ",\n')
    with pytest.warns(TerselyWarning) as caught:
        documents = read_documents(path)
    assert documents.texts == ["x", "", " \u200b "]
    assert (documents.labels, documents.label_column) == (None, None)
    texts, labels = (str(each.message) for each in caught)
    assert "empty text in 2 rows (2, 3) of 3; they" in texts and "holds no label" in labels
