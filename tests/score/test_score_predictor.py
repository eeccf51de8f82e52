"""Every row gets a label or a reason."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tersely.score import Predictor
from tersely.score.predictor import read_cells
from words import labelled

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"


def test_labels_are_the_classifiers(model):
    texts, _ = labelled(30)
    predictor = Predictor(model, id_columns=["id"], probabilities=True, device="cpu")
    result = predictor(pa.table({"text": texts, "id": range(30), "other": [0.5] * 30}))
    expected = predictor.classifier.predict_proba(texts)
    assert result["id"].to_pylist() == list(range(30))
    assert result["label"].to_pylist() == list(predictor.classifier.predict(texts))
    assert np.allclose(result["score"].to_numpy(), expected.max(1), atol=1e-6)
    assert np.allclose(result["probability_music"].to_numpy(), expected[:, 1], atol=1e-6)
    assert result.column_names[0] == "id" and "other" not in result.column_names
    assert predictor.tally["tokens"] > 30


def test_rows_without_text_have_a_reason(model):
    predictor = Predictor(model, device="cpu")
    result = predictor(pa.table({"text": ["cat", None, "rain", ""]}))
    assert result["reason"].to_pylist() == [None, "null", None, "empty text"]
    assert [label is None for label in result["label"].to_pylist()] == [False, True, False, True]
    none = predictor(pa.table({"text": pa.array([None, None], pa.string())}))
    assert none.schema == result.schema
    # Of pairs, both are looked at.
    predictor = Predictor(model, text_column="a", pair_column="b", device="cpu")
    result = predictor(pa.table({"a": ["cat", None, "dog"], "b": ["dog", " ", None]}))
    assert result["reason"].to_pylist() == [None, "a: null", "b: null"]


def test_several_labels_and_numbers(several, regression):
    table = pa.table({"text": ["cat", None, "piano drum"]})
    result = Predictor(several, device="cpu")(table)
    assert result.schema.field("label").type == pa.list_(pa.string())
    assert result["label"][1].as_py() is None
    numbers = Predictor(regression, device="cpu")(table)
    assert numbers.column_names == ["prediction", "reason"]
    assert isinstance(numbers["prediction"][0].as_py(), float)


@pytest.mark.parametrize(
    ("column", "reasons"),
    [
        (pa.array([1, None]), ["not a string (int)", "null"]),
        (pa.array([b"cat", b"\xff"]), [None, "not UTF-8 (byte 0)"]),
        (pa.array([b"cat", b"a\xff"]).view(pa.string()), [None, "not UTF-8 (byte 1)"]),
        (pa.array(["cat", None]).dictionary_encode(), [None, "null"]),
        (pa.array(["cat", "\n"], pa.large_string()), [None, "empty text"]),
        (pa.array(["cat", None], pa.string_view()), [None, "null"]),
        (pa.nulls(2), ["null", "null"]),
    ],
)
def test_reasons(column, reasons):
    texts, found = read_cells(column)
    assert found == reasons
    assert [text for text in texts if text] == ["cat"] * reasons.count(None)


def test_the_function_for_spark_keeps_its_schema(model):
    """What the page on scoring shows, on frames of pandas as Spark hands them over."""
    pandas = pytest.importorskip("pandas")
    page = PAGE.read_text("utf-8")
    code = re.search(r"^```python\n(import pyarrow.*?)^spark\.", page, re.M | re.S)
    names: dict = {}
    exec(code[1].replace('"model/"', repr(model)), names)
    frames = [
        pandas.DataFrame({"id": [1, 2], "text": ["cat", None]}),
        pandas.DataFrame({"id": [3], "text": ["rain"]}),
    ]
    schema = re.search(r'schema="(.*?)"', page)[1]
    found = list(names["label"](iter(frames)))
    for frame in found:
        assert list(frame.columns) == [column.split()[0] for column in schema.split(", ")]
    assert [frame["id"].tolist() for frame in found] == [[1, 2], [3]]
    assert found[0]["reason"].tolist()[1] == "null" and found[1]["label"][0]
