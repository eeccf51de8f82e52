"""The runner of the papers' tables: a cell is made once, and cells are never mixed."""

import json
from pathlib import Path

import pytest

import full_size
from full_size import Cell, Row


@pytest.fixture
def run(script, tmp_path, monkeypatch):
    """Go through one dense model and one row that starts from it."""
    cell = Cell(
        "few", "r8", Row("any", "choose", {"keep": 0.2, "least": 1, "random_budgets": True}), 0
    )
    dense = Cell("dense", "r8", full_size.dense_row(), 0)
    monkeypatch.setattr(full_size, "quiet", lambda: None)
    monkeypatch.setattr(full_size, "TABLES", {"few": lambda seeds: iter((dense, cell))})

    def go(**folders: Path) -> Path:
        results = folders.get("results", tmp_path / "results")
        work = folders.get("work", tmp_path / "work")
        script(full_size, "--part", "few", "--results", results, "--work", work)
        return results

    return go


def test_a_row_starts_from_the_dense_model_and_is_made_once(run, tmp_path):
    folder = run()
    written = {path.name: path.read_text() for path in folder.iterdir()}
    dense, row = (json.loads(written[f"r8-{name}-0.json"]) for name in ("start", "any"))
    assert set(written) == {"r8-start-0.json", "r8-any-0.json"}
    assert row["macs_per_document"] < dense["macs_per_document"]
    costs = [each["macs_per_document"] for each in row["at"].values()]
    assert costs == sorted(costs, reverse=True) and costs[0] > row["macs_per_document"]
    assert {"metrics", "linear", "added", "shared"} <= set(row)
    assert {cell["recipe"] for cell in (dense, row)} == {full_size.VERSION}
    run()
    assert {path.name: path.read_text() for path in folder.iterdir()} == written
    # What a killed run leaves: the row is made again, its dense model is not.
    (folder / "r8-any-0.json").unlink()
    run()
    assert (folder / "r8-start-0.json").read_text() == written["r8-start-0.json"]
    again = json.loads((folder / "r8-any-0.json").read_text())
    assert again["metrics"] == row["metrics"] and again["plan"] == row["plan"]
    # A model of which nothing tells by which recipe it was made.
    (folder / "r8-start-0.json").rename(tmp_path / "elsewhere.json")
    (folder / "r8-any-0.json").unlink()
    other = Cell("few", "r8", Row("random", "random"), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(full_size.TABLES, "few", lambda seeds: iter((other,)))
        with pytest.raises(SystemExit, match="holds a model, but r8-start-0.json is not"):
            run()


@pytest.mark.parametrize("name", ["format", "recipe", "fingerprint", "encoder", "no record"])
def test_a_folder_of_other_cells_is_refused_before_anything_is_trained(run, tmp_path, name):
    about = {"format": full_size.FORMAT, "recipe": full_size.VERSION, "data": "r8"}
    record = {"accuracy": 1.0} if name == "no record" else about | {name: "another"}
    (tmp_path / "results").mkdir()
    file = tmp_path / "results" / "r8-focus-pf-2.json"
    file.write_text(json.dumps(record))
    said = r"r8-focus-pf-2.json has \w+ (another|None), expected \w+; move it away or name another"
    with pytest.raises(SystemExit, match=said):
        run()
    assert list(file.parent.iterdir()) == [file] and not (tmp_path / "work").exists()


def test_the_tables_hold_what_the_issue_lists():
    cells = {part: list(table([0, 1, 2])) for part, table in full_size.TABLES.items()}
    assert {part: len({cell.name for cell in own}) for part, own in cells.items()} == {
        "dense": 18,
        "focus": 56,
        "ltp": 88,
        "sparse": 79,
        "others": 30,
        "chosen": 72,
        "twelve": 4,
    }
    # Cells of one name are one training, in whichever part they stand.
    rows = {}
    for part in set(cells) - {"twelve"}:  # of a folder of its own
        for cell in cells[part]:
            assert rows.setdefault(cell.name, cell.row) == cell.row
    assert [cell.name for cell in cells["focus"]][:2] == ["r8-dense-0", "r8-focus-pfc-7-0"]
