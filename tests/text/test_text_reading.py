"""Good input of every format, and what is made of it."""

import contextlib
import gzip
import io
import json
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


def read(tmp_path, name, content, **options):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    return read_documents(tmp_path / name, **options)


def test_csv_cells_keep_their_spelling(tmp_path):
    content = '\ufeffid,text,label\r\n007,"a ""b"",\r\nc",01\r\n8,NA,1\r\n\r\n9,null,01'
    documents = read(tmp_path, "a.csv", content, labels="required")
    assert documents.texts == ['a "b",\r\nc', "NA", "null"]
    assert documents.labels == ["01", "1", "01"]
    assert documents.table.column_names == ["id", "text", "label"]
    assert documents.table["id"].to_pylist() == ["007", "8", "9"]
    assert (documents.text_column, documents.label_column) == ("text", "label")


def test_a_quoted_empty_row_and_a_long_cell_are_read(tmp_path):
    text = "word " * 300_000
    with pytest.warns(TerselyWarning, match="empty text"):
        assert read(tmp_path, "A.TSV", f'text\n{text}\n""\n').texts == [text, ""]


LABELS = [
    # the JSON of three labels, options, what they become
    (["1", "2", "1"], {}, ["1", "2", "1"]),
    (["true", "false", "true"], {}, ["True", "False", "True"]),
    (['" x"', '"y"', '"x"'], {}, [" x", "y", "x"]),
    (['["a", "b"]', "[]", '["b"]'], {}, [["a", "b"], [], ["b"]]),
    (["[1, 2]", "[]", "[3]"], MULTI, [["1", "2"], [], ["3"]]),
    (['"a| b"', '""', '"b|"'], MULTI, [["a", "b"], [], ["b"]]),
    (["1", "0.5", "-2e1"], {"problem_type": "regression"}, [1.0, 0.5, -20.0]),
    (['"1"', '"0.5"', '"3"'], {"problem_type": "regression"}, [1.0, 0.5, 3.0]),
    (["0.5", "1.5", "0.5"], {"problem_type": "single_label_classification"}, ["0.5", "1.5", "0.5"]),
]


@pytest.mark.parametrize(("cells", "options", "expected"), LABELS)
def test_labels_of_json_lines(tmp_path, cells, options, expected):
    content = "".join(f'{{"text": "t", "label": {cell}}}\n' for cell in cells)
    assert read(tmp_path, "a.jsonl", content, **options).labels == expected


def test_ignored_labels_are_not_looked_at(tmp_path):
    options = {"labels": "ignore", "label_column": "label"}
    assert read(tmp_path, "a.csv", "text,label\na,\nb,x\n", **options).labels is None
    assert read(tmp_path, "a.csv", "text\na\n", **options).texts == ["a"]


COLUMNS = [
    # header and cells, options, (text, pair, label)
    ({"id": "1", "Body": "a b", "Topic": "x"}, {}, ("Body", None, "Topic")),
    ({"id": "1", "words": "a b", "target": "x"}, {}, ("words", None, "target")),
    ({"a": "x", "b": "y"}, {"label_column": "a"}, ("b", None, "a")),
    ({"premise": "a", "hypothesis": "b", "label": "x"}, {}, ("premise", "hypothesis", "label")),
    ({"premise": "a", "hypothesis": "b"}, {"text_column": "premise"}, ("premise", None, None)),
    ({"text": "a", "b": "c"}, {"text_pair_column": "b"}, ("text", "b", None)),
    ({"text": "a", "score": "1"}, {}, ("text", None, None)),
]


@pytest.mark.parametrize(("row", "options", "expected"), COLUMNS)
def test_columns_are_guessed(tmp_path, row, options, expected):
    content = f"{','.join(row)}\n{','.join(row.values())}\n"
    documents = read(tmp_path, "a.csv", content, **options)
    found = (documents.text_column, documents.pair_column, documents.label_column)
    assert found == expected
    assert documents.texts == [row[expected[0]]]
    assert documents.pairs == (None if expected[1] is None else [row[expected[1]]])


def test_class_folders_and_text_files(tmp_path):
    files = {
        "pos/2.txt": b"good\nas it is\n",
        "pos/10.txt.gz": gzip.compress(b"\xef\xbb\xbffine", mtime=0),
        "neg/deep/49960": b"bad",
        ".hidden/x.txt": b"x",
        "README.txt": b"about",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert read_documents(tmp_path / "pos" / "10.txt.gz").texts == ["fine"]
    with pytest.warns(TerselyWarning, match="1 files .* beside the class folders"):
        documents = read_documents(tmp_path, labels="required")
    assert documents.table.to_pydict() == {
        "path": ["neg/deep/49960", "pos/10.txt.gz", "pos/2.txt"],
        "text": ["bad", "fine", "good\nas it is\n"],
        "label": ["neg", "pos", "pos"],
    }
    assert documents.labels == ["neg", "pos", "pos"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.csv", "text;label\n1,5 and 2,5;x\n", "separated by ';'"),
        ("t.csv", "text\tlabel\n1,5 and 2,5\tx\n", "separated by"),
        ("c.tsv", 'text,label\n"1,5 and 2,5",x\n', "separated by ','"),
        ("e.csv", "sep=;\r\ntext;label\r\n1,5 and 2,5;x\r\n", None),
    ],
)
def test_other_separators_are_read_and_said(tmp_path, name, content, said):
    """A semicolon as spreadsheets write it was recognised, and then refused."""
    (tmp_path / name).write_text(content, newline="")
    with pytest.warns(TerselyWarning, match=said) if said else contextlib.nullcontext():
        documents = read_documents(tmp_path / name)
    assert (documents.texts, documents.labels) == (["1,5 and 2,5"], ["x"])


def test_standard_input_is_one_document(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\n{}".encode())))
    with pytest.warns(TerselyWarning, match="2 lines, read as one document"):
        documents = read_documents("-")
    assert (documents.texts, documents.source) == (["é\n{}"], "standard input")


def test_from_lists_and_select():
    documents = Documents.from_lists(["a", "b", "c"], [1, 0, 1], ["d", "e", "f"])
    assert documents.labels == ["1", "0", "1"]
    chosen = documents.select(np.array([2, 0]))
    assert (chosen.texts, chosen.labels, chosen.pairs) == (["c", "a"], ["1", "1"], ["f", "d"])
    assert chosen.table.to_pylist()[0] == {"text": "c", "text_pair": "f", "label": "1"}


WORDS = ["a", "b", "a"]
COLUMNS_IN_MEMORY = {
    "list": list(WORDS),
    "numpy": np.array(WORDS),
    "numpy column": np.array(WORDS)[:, None],
    "arrow chunks": pa.chunked_array([WORDS[:1], WORDS[1:]]),
    "arrow dictionary": pa.array(WORDS).dictionary_encode(),
    "arrow table": pa.table({"text": WORDS}),
}


@pytest.mark.parametrize("name", COLUMNS_IN_MEMORY)
def test_every_column_in_memory_is_the_same_list(name):
    values = as_list(COLUMNS_IN_MEMORY[name])
    assert values == WORDS and all(type(value) is str for value in values)


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(WORDS)
    for kind in (column.astype("category"), column.astype(pandas.ArrowDtype(pa.string()))):
        assert as_list(kind) == WORDS
    numbers = as_list(pandas.DataFrame({"n": [1, 2]}))
    assert numbers == [1, 2] and type(numbers[0]) is int


def test_what_is_no_column_is_refused():
    table = pa.table({"a": WORDS, "b": WORDS})
    for column, said in ("a text", "single str"), (table, r"\(3, 2\)"), (None, "single NoneType"):
        with pytest.raises(DataError, match=f"got .*{said}"):
            as_list(column)


@pytest.mark.parametrize(
    "body",
    [
        pa.array(["good words", "bad"], pa.string_view()),
        pa.array(["good words", "bad"], pa.large_string()),
        pa.array(["good words", "bad"]).dictionary_encode(),
    ],
    ids=lambda body: str(body.type),
)
def test_text_of_any_type_of_arrow(tmp_path, body):
    """F8: a column of string_view, as polars writes it, was a traceback or not found."""
    views = {
        "label": pa.array(["x", "y"], pa.string_view()),
        "tags": pa.array([["x"], []], pa.list_(pa.string_view())),
        # A dictionary of views, which Arrow's functions do not take either.
        "kind": pa.DictionaryArray.from_arrays([0, 1], pa.array(["k", "l"], pa.string_view())),
    }
    table = pa.table({"body": body, "nothing": pa.nulls(2)} | views)
    assert plain_types(table)["kind"].to_pylist() == ["k", "l"]
    parquet.write_table(table.drop_columns("kind"), tmp_path / "a.parquet")
    documents = read_documents(tmp_path / "a.parquet")
    assert (documents.text_column, documents.texts) == ("body", ["good words", "bad"])
    assert documents.labels == ["x", "y"]
    assert documents.select([1]).texts == ["bad"]
    assert read_documents(tmp_path / "a.parquet", label_column="tags").labels == [["x"], []]
    out = write_table(tmp_path / "out.csv", documents.table, {"score": [0.5, 1.0]})
    assert read_documents(out).texts == ["good words", "bad"]


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
    assert read_documents("a/b-v1.5:other:other_train", label_column="tags").labels[1] == []
    with pytest.warns(TerselyWarning, match="holds no label"):
        assert read_documents("imdb:plain_test").labels is None
    with pytest.raises(DataError, match="chosen among 'plain_train', 'plain_test'"):
        read_documents("imdb")
    with pytest.raises(DataError, match="did you mean 'plain_train'"):
        read_documents("imdb:plain_tain")
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
