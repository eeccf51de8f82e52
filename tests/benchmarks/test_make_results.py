"""The tables of the full-size runs, and the check of what they are made of."""

import json

import pytest

import full_size
import full_tables
import make_results
from tersely.accelerate.evidence import sentences


def cell(accuracy: float, macs: float, seconds: float = 3600.0) -> dict:
    metrics = {"accuracy": accuracy, "macro_f1": accuracy - 0.1}
    return {"metrics": metrics, "macs_per_document": macs, "seconds": seconds}


CELLS = {
    "r8-start-0": cell(0.97, 100),
    "r8-dense-0": cell(0.98, 100),
    "r8-dense-1": cell(0.96, 100),
    "r8-focus-pfc-7-0": cell(0.97, 50),
    "r8-focus-pfc-7-1": cell(0.97, 60),
    "bbc-dense-0": cell(0.96, 100),
    "bbc-focus-pfc-7-0": cell(0.97, 50),
    "r8-dense-128-0": cell(0.95, 40),
    "r8-neighbours-all@0.92-128-0": cell(0.90, 38),
    "r8-dense-once-0": cell(0.94, 100),
    "r8-topk@0.5-0": cell(0.93, 50),
    "r8-ltp@0.25-0": {"unreachable": "too low", "seconds": 1.0},
}


def test_rows_stand_beside_the_dense_row_of_their_seed_and_the_papers():
    lines = full_tables.table(CELLS, "focus").splitlines()
    assert "| r8 | `dense` | 2 | 97.0 (98.0, 96.0) | 87.0 (88.0, 86.0) | – | – | – |" in lines
    assert (
        "| r8 | `focus-pfc-7` | 2 | 97.0 (97.0, 97.0) | 87.0 (87.0, 87.0) | +0.0 (-1.0, +1.0) | "
        "×0.55 | – |" in lines
    )
    assert "| bbc | `focus-pfc-7` | 1 | 97.0 | 87.0 | +1.0 | ×0.50 | +0.8 |" in lines
    assert len(lines) == 6
    assert full_tables.points_of(CELLS, "r8", "focus-pfc-7") == (0.55, pytest.approx(0, abs=1e-9))
    assert full_tables.points_of(CELLS, "20ng", "focus-pfc-7") is None


def test_lengths_are_not_mixed_and_what_cannot_be_reached_is_said():
    sparse = full_tables.table(CELLS, "sparse")
    assert "| r8 | `neighbours-all@0.92` | 1 | 90.0 | 80.0 | -5.0 | ×0.95 |" in sparse
    ltp = full_tables.table(CELLS, "ltp")
    assert "| r8 | `ltp@0.25` | 1 | cannot | – | – | – |" in ltp
    # Beside the dense row of one pass, not that of two.
    assert "| r8 | `topk@0.5` | 1 | 93.0 | 83.0 | -1.0 | ×0.50 |" in ltp


def test_the_page_says_what_is_not_there():
    told = full_tables.tables(CELLS)
    assert told.endswith("No cells yet: `chosen`, `twelve`.")
    assert "| `dense` | the dense models that the others start from | 1 | 18 | 1.0 |" in (
        full_tables.progress(CELLS)
    )


def test_seconds_to_an_accuracy_stand_beside_each_other(tmp_path):
    assert full_tables.curves(tmp_path) == "Not measured yet."
    for name, pace in (("stock", 3.0), ("packed", 1.0)):
        points = [{"seconds": pace * n, "accuracy": 0.8 + 0.05 * n} for n in range(1, 4)]
        record = {"data": "r8", "seed": 0, "contender": name, "points": points}
        (tmp_path / f"r8-{name}-0.json").write_text(json.dumps(record))
    assert full_tables.curves(tmp_path).splitlines()[-1] == "| r8 | 0 | 95.0 | 9 | 3 | ×3.00 |"


def test_records_of_an_older_format_are_named(tmp_path, monkeypatch):
    assert make_results.outdated() == []
    (tmp_path / "results" / "full").mkdir(parents=True)
    about = {"format": full_size.FORMAT, "recipe": full_size.VERSION}
    for name, change in (("good", {}), ("old", {"format": 0}), ("other", {"recipe": 0})):
        file = tmp_path / "results" / "full" / f"{name}.json"
        file.write_text(json.dumps(about | change))
    monkeypatch.setattr(make_results, "HERE", tmp_path)
    assert [line.partition(":")[0] for line in make_results.outdated()] == [
        "results/full/old.json",
        "results/full/other.json",
    ]


def test_the_evidence_that_is_committed_is_told_as_one_of_today():
    evidence = json.loads((make_results.HERE / "results" / "accelerate" / "r8.json").read_text())
    first, *_ = sentences(evidence)
    ratio, way = evidence["over_packed"]["median"], evidence["chosen"]
    assert f"; {way} is {ratio:.2f} times (" in first and "as fast as packed" in first
