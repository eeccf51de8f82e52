"""Methods register themselves: one file is all that a new one needs, and the documents follow."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import test_methods_table as table

from method_table import examples_of
from tersely.reduction import (
    Budget,
    Plan,
    Range,
    budget_option,
    find_preset,
    preset,
    presets,
    register_preset,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
# First-class methods that wait to be measured.
WAITING = {"choose", "fewer-layers", "focus-c", "focus-p", "lat", "ltp-paper", "threshold"}


@pytest.fixture
def page(own_registry, tmp_path, monkeypatch):
    """The complete example of the page about adding a method, as a module that was imported."""
    text = (ROOT / "docs" / "adding-a-method.md").read_text("utf-8")
    code = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE).group(1)
    (tmp_path / "keep_count.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("keep_count")
    del sys.modules["keep_count"]


BEHAVIOURS = {
    name: test
    for name, test in vars(table).items()
    if name.startswith("test_") and "method" in inspect.signature(test).parameters
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_pages_method_does_what_every_method_must(behaviour, page, tmp_path, monkeypatch):
    test = BEHAVIOURS[behaviour]
    for name, (plan, nothing) in examples_of("keep-count").items():
        with monkeypatch.context() as patch:
            patch.setitem(table.METHODS, name, plan)
            patch.setitem(table.NO_OPS, name, nothing)
            given = {"method": name, "family": "bert", "tmp_path": tmp_path, "monkeypatch": patch}
            test(**{key: given[key] for key in inspect.signature(test).parameters})


def test_the_pages_method_is_known_everywhere(page):
    assert "keep-count" in presets() and not find_preset("keep-count").is_measured
    assert find_preset("keep-count").summary.startswith("Keep a fixed number of tokens")
    assert find_preset("keep-count").options == {"tokens": 64, "at": 0.25}
    assert budget_option("keep-count", 6) == ("tokens", (16, 32, 64, 128, 256))
    assert preset("keep-count", tokens=8) == page.keep_count(8)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("topk", {}, "'topk' exists already in tersely.methods.topk"),
        ("My Method", {}, "may have only a-z, 0-9 and hyphens"),
        ("mine", {"budget": Budget("keep", Range(0.0, 1.0))}, "'keep' must be an option"),
        ("mine", {"examples": {"": {"tokens": 3}}}, "'tokens' must be an option"),
        ("mine", {"nothing": {"share": 3}}, "whose options are at"),
    ],
)
def test_a_registration_that_would_not_work_is_refused(own_registry, name, settings, message):
    def make(at: int = 1) -> Plan:
        """Do nothing."""
        return Plan("mine")

    with pytest.raises(ValueError, match=message):
        register_preset(name, **settings)(make)
    make.__doc__ = None
    with pytest.raises(ValueError, match="says what it does|exists already|may have only"):
        register_preset(name)(make)


def measured() -> set[str]:
    """The methods that have a committed result, by the files of results."""
    patterns = {file.stem.partition("-")[0] for file in (RESULTS / "sparsify").rglob("*.json")}
    found = patterns | ({"breaking-bert"} if "degrees" in patterns else set())
    for folder in ("methods", "focus"):
        records = [
            json.loads(file.read_text("utf-8")) for file in (RESULTS / folder).glob("*.json")
        ]
        found |= {record["method"] for record in records if "method" in record}
    return found


def test_first_class_methods_have_a_committed_result():
    first_class = {name for name in presets() if find_preset(name).is_measured}
    assert first_class - measured() == WAITING


def test_the_tables_of_the_documents_are_those_of_the_registry():
    # A process of its own: in this one other tests have registered methods.
    command = [sys.executable, str(ROOT / "docs" / "make_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
