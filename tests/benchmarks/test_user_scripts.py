"""What a user gets by default: cells on few words, and the tables that are made of them."""

import json

import instead
import small_data
import user_tables


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


def test_ours_is_trained_once_and_stands_beside_the_same_dense_model(script, tmp_path, monkeypatch):
    monkeypatch.setattr(instead, "STOCK", ("pipeline", "tfidf"))
    monkeypatch.setattr(instead, "FITTED", ())
    monkeypatch.setattr(instead, "THEIRS", ())
    monkeypatch.setattr(instead, "FOLDER", tmp_path / "results")
    options = ("--work", tmp_path, "--only", "r8", "--timed", 8, "--rounds", 1)
    script(instead, *options, "--train-only")
    trained = (tmp_path / "r8-0" / "model.safetensors").stat().st_mtime_ns
    script(instead, *options)
    assert (tmp_path / "r8-0" / "model.safetensors").stat().st_mtime_ns == trained
    (path,) = (tmp_path / "results").iterdir()
    record = json.loads(path.read_text())
    by_name = {each["name"]: each for each in record["results"]}
    assert {"pipeline", "tfidf", "dense, packed"} <= set(by_name)
    assert by_name["pipeline"]["agreement"] == 1.0
    table = user_tables.instead_table(tmp_path / "results")
    accuracy = 100 * by_name["tfidf"]["quality"]["accuracy"]
    assert f"| {user_tables.NAMES['tfidf']} | {accuracy:.1f} (" in table
