"""What a user gets by default: cells on few words, and the tables that are made of them."""

import importlib
import json
from pathlib import Path

import pytest

import compare
import input_selection
import instead
import setfit_small
import small_data
import user_tables
from tersely import Classifier, TrainingSettings
from tersely.text import read_documents


def test_a_small_cell_is_trained_once_and_compared_with_the_better_of_its_parts(script, tmp_path):
    options = ("--results", tmp_path, "--counts", 20, "--seeds", 0, "--only", "r8")
    script(small_data, *options)
    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text())
    parts = {part: found["accuracy"] for part, found in record["results"].items()}
    assert record["count"] == 20 and set(parts) == {"tersely", "encoder", "svc"}
    better = max(parts["encoder"], parts["svc"])
    assert abs(record["over_better"] - (parts["tersely"] - better)) < 1e-9
    low, high = record["interval"]
    assert low <= record["over_better"] <= high
    written = path.stat().st_mtime_ns
    script(small_data, *options)
    assert path.stat().st_mtime_ns == written
    assert f"| r8, 20, 0 | {100 * parts['tersely']:.1f} |" in user_tables.small_table(tmp_path)


def test_setfit_trains_on_the_same_documents_as_a_small_cell(script, tmp_path, monkeypatch, data):
    """SetFit itself has to be installed; what takes its place here says one label of all texts."""
    small, cells = tmp_path / "small", tmp_path / "cells"
    small.mkdir()
    ours = {"epochs": 4.0, "seconds": 9.0}
    ours["results"] = {"tersely": {"accuracy": 0.9, "macro_f1": 0.8}}
    (small / "r8-20-0.json").write_text(json.dumps(ours))
    monkeypatch.setattr(small_data, "FOLDER", small)
    monkeypatch.setattr(setfit_small, "version", lambda name: "1")
    given = []

    class OneLabel:
        def predict(self, texts, **_):
            return given[0][0].labels[:1] * len(texts)

    monkeypatch.setattr(setfit_small, "train", lambda _, *what: given.append(what) or OneLabel())
    options = ("--results", cells, "--only", "r8", "--counts", 20)
    script(setfit_small, *options)
    (documents, steps, seed), wanted = given[0], small_data.parts(data, "r8", 20, 0)
    assert documents.texts == wanted[0].texts and seed == 0
    # Two classes of 10: 110 pairs of the same, 100 of others; both kinds as often.
    assert setfit_small.whole_steps(["a", "b"] * 10) == 14
    assert steps == 2  # 4 epochs of 20 documents are 80, and a step takes 32
    record = json.loads((cells / "r8-20-0.json").read_text())
    share = wanted[1].labels.count(documents.labels[0]) / len(wanted[1])
    assert record["accuracy"] == pytest.approx(share) and record["seconds_of_tersely"] == 9.0
    line = user_tables.setfit_table(cells, small).splitlines()[-1]
    assert line.startswith(f"| r8, 20, 0 | 90.0 / 80.0 | {100 * share:.1f} / ")
    script(setfit_small, *options)
    assert len(given) == 1  # the cell is there
    (cells / "r8-20-0.json").write_text("{}")
    with pytest.raises(SystemExit, match="another format"):
        script(setfit_small, *options)


def test_ours_stands_beside_the_same_dense_model(script, tmp_path, monkeypatch, encoder, data):
    monkeypatch.setattr(instead, "STOCK", ("pipeline", "tfidf"))
    monkeypatch.setattr(instead, "FITTED", ())
    monkeypatch.setattr(instead, "THEIRS", ())
    train = read_documents(data / "r8" / "train.parquet", labels="required")
    settings = TrainingSettings(epochs=1)
    dense = Classifier(encoder).fit(train, settings=settings, validation=0, cascade="off")
    dense.save(tmp_path / "r8-start-0")
    results = tmp_path / "results"
    options = ("--models", tmp_path, "--results", results, "--only", "r8", "--timed", 8)
    script(instead, *options, "--rounds", 1)
    (path,) = results.iterdir()
    record = json.loads(path.read_text())
    by_name = {each["name"]: each for each in record["results"]}
    assert set(by_name) == {"pipeline", "tfidf", "dense, packed", "tersely, all read", "tersely"}
    assert by_name["pipeline"]["agreement"] == 1.0 and record["test_documents"] == 15
    assert record["lines"][0].startswith("the linear stage alone")
    accuracy = 100 * by_name["tfidf"]["quality"]["accuracy"]
    assert f"| {user_tables.NAMES['tfidf']} | {accuracy:.1f} (" in user_tables.instead_table(
        results
    )
    assert "documents; 8 timed, 1 rounds" in user_tables.fronts(results)


SCRIPTS = sorted(path.stem for path in Path(instead.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_finds_what_it_imports(name):
    importlib.import_module(name)


def test_choices_are_measured_on_a_dense_model(tmp_path, monkeypatch, encoder, data):
    monkeypatch.setattr(input_selection, "SCORES", ("linear", "saliency"))
    monkeypatch.setattr(input_selection, "KEEPS", (0.25,))
    monkeypatch.setattr(input_selection, "SHORT", 4)  # some of these documents are longer
    monkeypatch.setattr(input_selection, "LONG", 5)
    train = read_documents(data / "r8" / "train.parquet", labels="required")
    dense = Classifier(encoder, max_length=256)
    dense.fit(train, settings=TrainingSettings(epochs=1), validation=0, cascade="off")
    dense.save(tmp_path / "r8-start-0")
    arguments = ["--data", data, "--models", tmp_path, "--results", tmp_path / "cells"]
    monkeypatch.setattr("sys.argv", ["input_selection.py", *map(str, arguments), "--only", "r8"])
    input_selection.main()
    cells = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "cells").iterdir()}
    assert {"r8-dense", "r8-linear@0.25", "r8-saliency@0.25", "r8-long-windows"} <= set(cells)
    dense_cell, chosen = cells["r8-dense"], cells["r8-linear@0.25"]
    assert chosen["macs_per_document"] <= dense_cell["macs_per_document"]
    assert all({"alone", "linear", "added", "shared"} <= set(each) for each in (dense_cell, chosen))


def test_a_command_that_fails_leaves_no_earlier_result_for_its_own(capsys):
    with pytest.raises(SystemExit, match="info ended with 1"):
        compare.run_shown(["info", "absent/"], {})
