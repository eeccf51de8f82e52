"""Good input of every format, and what is made of it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tersely.errors import DataError, MissingExtraError, TerselyWarning
from tersely.text import Documents, read_documents, tables, write_table
from tersely.text.columns import as_list, plain_types

MULTI = {"problem_type": "multi_label_classification"}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(tmp_path, name, content, **options):
    write(tmp_path, {name: content})
    return read_documents(tmp_path / name, **options)


def test_csv_cells_keep_their_spelling(tmp_path):
    content = '\ufeffid,text,label\r\n007,"a ""b"",\r\nc",01\r\n8,NA,1\r\n\r\n9,null,01'
    documents = read(tmp_path, "a.csv", content, labels="required")
    assert documents.texts == ['a "b",\r\nc', "NA", "null"]
    assert documents.labels == ["01", "1", "01"]
    assert documents.table.column_names == ["id", "text", "label"]
    assert documents.table["id"].to_pylist() == ["007", "8", "9"]
    assert (documents.text_column, documents.label_column) == ("text", "label")


def test_csv_of_one_column_keeps_a_quoted_empty_row(tmp_path):
    with pytest.warns(TerselyWarning, match="empty text"):
        documents = read(tmp_path, "a.csv", 'text\nx\n""\n""\n')
    assert documents.texts == ["x", "", ""]


def test_long_cells_and_suffixes_in_any_case_are_read(tmp_path):
    text = "word " * 300_000
    assert read(tmp_path, "A.TSV", f"n\ttext\n1\t{text}\n").texts == [text]


LABELS = [
    # the JSON of three labels, options, what they become
    (["1", "2", "1"], {}, ["1", "2", "1"]),
    (["1.0", "2", "1.0"], {}, ["1", "2", "1"]),
    (["true", "false", "true"], {}, ["True", "False", "True"]),
    (['" x"', '"y"', '"x"'], {}, [" x", "y", "x"]),
    (['["a", "b"]', "[]", '["b"]'], {}, [["a", "b"], [], ["b"]]),
    (['"2024-02-29"', '"y"', '"x"'], {}, ["2024-02-29", "y", "x"]),
    (["[1, 2]", "[]", "[3]"], MULTI, [["1", "2"], [], ["3"]]),
    (['"a| b"', '""', '"b|"'], MULTI, [["a", "b"], [], ["b"]]),
    (['"a,b"', '"c"', '"b"'], {"label_separator": ","}, [["a", "b"], ["c"], ["b"]]),
    (["1", "0.5", "-2e1"], {"problem_type": "regression"}, [1.0, 0.5, -20.0]),
    (['"1"', '"0.5"', '"3"'], {"problem_type": "regression"}, [1.0, 0.5, 3.0]),
    (["0.5", "1.5", "0.5"], {"problem_type": "single_label_classification"}, ["0.5", "1.5", "0.5"]),
]


@pytest.mark.parametrize(("cells", "options", "expected"), LABELS)
def test_labels_of_json_lines(tmp_path, cells, options, expected):
    content = "".join(f'{{"text": "t", "label": {cell}}}\n' for cell in cells)
    assert read(tmp_path, "a.jsonl", content, **options).labels == expected


def test_ignored_labels_are_not_looked_at(tmp_path):
    content = "text,label\na,\nb,x\n"
    assert read(tmp_path, "a.csv", content, labels="ignore").labels is None
    assert read(tmp_path, "a.csv", "text\na\n", labels="ignore", label_column="x").texts == ["a"]


COLUMNS = [
    # header and cells, options, (text, pair, label)
    ({"id": "1", "Body": "a b", "Topic": "x"}, {}, ("Body", None, "Topic")),
    ({"title": "t", "text": "a", "class": "x"}, {}, ("text", None, "class")),
    ({"id": "1", "words": "a b", "target": "x"}, {}, ("words", None, "target")),
    ({"words": "a"}, {}, ("words", None, None)),
    ({"words": "1"}, {}, ("words", None, None)),
    ({"a": "x", "b": "y"}, {"label_column": "a"}, ("b", None, "a")),
    ({"premise": "a", "hypothesis": "b", "label": "x"}, {}, ("premise", "hypothesis", "label")),
    ({"premise": "a", "hypothesis": "b"}, {"text_column": "premise"}, ("premise", None, None)),
    ({"text": "a", "b": "c"}, {"text_pair_column": "b"}, ("text", "b", None)),
    ({"text": "a", "score": "1"}, {}, ("text", None, None)),
    ({"text": "a", "score": "1"}, {"problem_type": "regression"}, ("text", None, "score")),
]


@pytest.mark.parametrize(("row", "options", "expected"), COLUMNS)
def test_columns_are_guessed(tmp_path, row, options, expected):
    content = f"{','.join(row)}\n{','.join(row.values())}\n"
    documents = read(tmp_path, "a.csv", content, **options)
    found = (documents.text_column, documents.pair_column, documents.label_column)
    assert found == expected
    assert documents.texts == [row[expected[0]]]
    assert documents.pairs == (None if expected[1] is None else [row[expected[1]]])


def test_json_columns_of_objects(tmp_path):
    content = '{"text": {"a": [1]}, "other": "words here"}\n{"other": "more"}\n'
    documents = read(tmp_path, "a.jsonl", content)
    assert documents.text_column == "other"
    out = write_table(tmp_path / "out.jsonl", documents.table, {})
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows == [{"text": {"a": [1]}, "other": "words here"}, {"text": None, "other": "more"}]


def test_class_folders(tmp_path):
    write(
        tmp_path,
        {
            "pos/2.txt": "good\n",
            "pos/10.txt.gz": gzip.compress(b"\xef\xbb\xbffine", mtime=0),
            "neg/deep/49960": "bad",
            ".hidden/x.txt": "x",
            "README.md": "about",
        },
    )
    with pytest.warns(TerselyWarning, match="1 files .* beside the class folders"):
        documents = read_documents(tmp_path, labels="required")
    assert documents.table.to_pydict() == {
        "path": ["neg/deep/49960", "pos/10.txt.gz", "pos/2.txt"],
        "text": ["bad", "fine", "good\n"],
        "label": ["neg", "pos", "pos"],
    }
    assert documents.labels == ["neg", "pos", "pos"]


def test_text_files_are_documents(tmp_path):
    write(tmp_path, {"b.txt": "one\ntwo\n", "a.txt": "three"})
    documents = read_documents(tmp_path / "b.txt")
    assert (documents.texts, documents.table["path"].to_pylist()) == (["one\ntwo\n"], ["b.txt"])
    folder = read_documents(str(tmp_path))
    assert (folder.texts, folder.labels) == (["three", "one\ntwo\n"], None)


def test_standard_input_is_one_document(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\n{}".encode())))
    documents = read_documents("-")
    assert (documents.texts, documents.source) == (["é\n{}"], "standard input")


def test_from_lists_and_select():
    documents = Documents.from_lists(["a", "b", "c"], [1, 0, 1], ["d", "e", "f"])
    assert documents.labels == ["1", "0", "1"]
    chosen = documents.select(np.array([2, 0]))
    assert (chosen.texts, chosen.labels, chosen.pairs) == (["c", "a"], ["1", "1"], ["f", "d"])
    assert chosen.table.to_pylist()[0] == {"text": "c", "text_pair": "f", "label": "1"}
    assert len(documents.select([])) == 0
    assert Documents.from_lists(["a"], [2.0]).labels == [2.0]
    assert Documents.from_lists(["a"], np.array([2], np.float32)).labels == [2.0]
    assert Documents.from_lists(["a"], [("x", "y")]).labels == [["x", "y"]]
    assert Documents.from_lists([""]).texts == [""]


WORDS = ["a", "b", "a"]
COLUMNS_IN_MEMORY = {
    "list": list(WORDS),
    "numpy": np.array(WORDS),
    "numpy column": np.array(WORDS)[:, None],
    "arrow chunks": pa.chunked_array([WORDS[:1], WORDS[1:]]),
    "arrow dictionary": pa.array(WORDS).dictionary_encode(),
    "arrow table": pa.table({"text": WORDS}),
}


@pytest.mark.parametrize("name", [*COLUMNS_IN_MEMORY, "generator"])
def test_every_column_in_memory_is_the_same_list(name):
    values = as_list(COLUMNS_IN_MEMORY.get(name, (word for word in WORDS)))
    assert values == WORDS and all(type(value) is str for value in values)


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    # An index that does not count from 0, as a split leaves it.
    column = pandas.Series(WORDS, index=[7, 3, 5])
    arrow = column.astype(pandas.ArrowDtype(pa.string()))
    for kind in (column, column.astype("category"), column.to_frame("text"), arrow):
        assert as_list(kind) == WORDS
    numbers = as_list(pandas.DataFrame({"n": [1, 2]}))
    assert numbers == [1, 2] and type(numbers[0]) is int


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("a text", "got a single string"),
        (np.array([["a", "b"]]), r"got shape \(1, 2\)"),
        (pa.table({"a": WORDS, "b": WORDS}), r"got shape \(3, 2\)"),
        ({"a": 1}, "got dict"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_column_is_refused(column, said):
    with pytest.raises(DataError, match=said):
        as_list(column)


TEXT_TYPES = {
    "string_view": pa.array(["good words", "bad"], pa.string_view()),
    "large_string": pa.array(["good words", "bad"], pa.large_string()),
    "dictionary": pa.array(["good words", "bad"]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TEXT_TYPES)
def test_text_of_any_type_of_arrow(tmp_path, kind):
    """F8: a column of string_view, as polars writes it, was a traceback or not found."""
    table = pa.table(
        {
            "body": TEXT_TYPES[kind],
            "nothing": pa.nulls(2),
            "label": pa.array(["x", "y"], pa.string_view()),
            "tags": pa.array([["x"], []], pa.list_(pa.string_view())),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    documents = read_documents(tmp_path / "a.parquet")
    assert (documents.text_column, documents.texts) == ("body", ["good words", "bad"])
    assert documents.labels == ["x", "y"]
    assert documents.select([1]).texts == ["bad"]
    assert read_documents(tmp_path / "a.parquet", label_column="tags").labels == [["x"], []]
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        out = write_table(tmp_path / name, documents.table, {"score": [0.5, 1.0]})
        assert read_documents(out).texts == ["good words", "bad"]
    # A dictionary of views, which Arrow's functions do not take either.
    views = pa.DictionaryArray.from_arrays([0, 1], pa.array(["a b", "c"], pa.string_view()))
    assert plain_types(pa.table({"text": views})).column("text").to_pylist() == ["a b", "c"]


def test_class_names_in_the_metadata_of_a_table(tmp_path):
    """F16: of a Parquet file that `datasets` wrote, the numbers were taken for names."""
    classes = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    features = {"label": classes, "tags": {"feature": classes, "_type": "List"}, "old": [classes]}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    columns = {"text": ["a", "b"], "label": [1, -1], "tags": [[0, 1], []], "old": [[1], None]}
    parquet.write_table(pa.table(columns, metadata=metadata), tmp_path / "a.parquet")
    table = read_documents(tmp_path / "a.parquet", labels="ignore").table
    assert table.to_pydict() == {
        "text": ["a", "b"],
        "label": ["pos", None],
        "tags": [["neg", "pos"], []],
        "old": [["pos"], None],
    }
    columns["label"] = [1, 2]
    parquet.write_table(pa.table(columns, metadata=metadata), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="numbers of its 2 classes, and holds 2"):
        read_documents(tmp_path / "a.parquet")


@pytest.fixture
def hub(monkeypatch):
    """A Hub of the data set that a test hands it, or of the error."""

    def install(answer):
        def load_dataset(name, configuration):
            if isinstance(answer, Exception):
                raise answer
            return {f"{configuration or 'plain'}_{split}": data for split, data in answer.items()}

        fake = SimpleNamespace(load_dataset=load_dataset)
        monkeypatch.setattr(tables, "require", lambda module, extra: fake)

    return install


def test_data_sets_of_the_hub(hub):
    library = pytest.importorskip("datasets")
    names = library.ClassLabel(names=["neg", "pos"])
    features = library.Features(
        {"text": library.Value("string"), "label": names, "tags": library.Sequence(names)}
    )
    columns = {"text": ["a", "b"], "label": [1, 0], "tags": [[1, 0], []]}
    splits = {"train": columns, "test": columns | {"label": [-1, -1]}}
    hub({name: library.Dataset.from_dict(data, features) for name, data in splits.items()})
    documents = read_documents("imdb:plain_train")
    assert documents.labels == ["pos", "neg"]
    assert documents.table["tags"].to_pylist() == [["pos", "neg"], []]
    assert read_documents("a/b:other:other_train", label_column="tags").labels[1] == []
    assert read_documents("owner/name-v1.5", split="plain_train").texts == ["a", "b"]
    with pytest.warns(TerselyWarning, match="holds no label"):
        assert read_documents("imdb:plain_test").labels is None
    for source, split, message in [
        ("imdb", None, "chosen among 'plain_train', 'plain_test'"),
        ("imdb:plain_tain", None, "did you mean 'plain_train'"),
        ("imdb:plain_train", "plain_test", "names another"),
    ]:
        with pytest.raises(DataError, match=message):
            read_documents(source, split=split)


def test_hub_errors(hub):
    hub(ValueError("Config name\nis missing"))
    with pytest.raises(DataError, match="no file or folder here, .* Config name is missing; check"):
        read_documents("nothing/here")


@pytest.mark.parametrize("source", ["reviews.csv", "a/b/c", "../name", "a:b:c:d"])
def test_a_mistyped_file_is_not_asked_of_the_hub(hub, source):
    hub(AssertionError("asked"))
    with pytest.raises(DataError, match="there is no file or folder"):
        read_documents(source)


def test_hub_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"no file or folder here.*\[hub\]"):
        read_documents("nothing/here")


def test_texts_load_neither_a_model_nor_what_only_some_need():
    code = (
        "import sys, tersely.text, tersely.text.encoding, tersely.text.metrics\nprint(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "sklearn", "pandas", "datasets", "tersely.modeling"}
    assert not heavy & set(run.stdout.split())
