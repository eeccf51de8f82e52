"""What the page on scoring shows for Spark, on frames of pandas as Spark hands them over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"


def test_the_function_for_spark_keeps_its_schema(model, monkeypatch):
    pandas = pytest.importorskip("pandas")
    code = re.search(
        r"^```python\n(import pyarrow.*?)^spark\.", PAGE.read_text("utf-8"), re.M | re.S
    )
    names: dict = {}
    exec(code[1].replace('"model/"', repr(model)), names)
    frames = [
        pandas.DataFrame({"id": [1, 2], "text": ["cat", None]}),
        pandas.DataFrame({"id": [3], "text": ["rain"]}),
    ]
    schema = re.search(r'schema="(.*?)"', PAGE.read_text("utf-8"))[1]
    found = list(names["label"](iter(frames)))
    for frame in found:
        assert list(frame.columns) == [column.split()[0] for column in schema.split(", ")]
    assert [frame["id"].tolist() for frame in found] == [[1, 2], [3]]
    assert found[0]["reason"].tolist()[1] == "null" and found[1]["label"][0]
