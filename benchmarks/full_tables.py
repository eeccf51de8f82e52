"""Tables of the full-size runs; make_results.py puts them into the page.

A table shows the cells that are there, and says how many are not.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import full_cells
import full_size
from common import RESULTS

ABOUT = {
    "dense": "the dense models that the others start from",
    "focus": "Focus on the Core",
    "ltp": "Learned Token Pruning",
    "sparse": "Breaking BERT",
    "others": "every other method at half of the MACs",
    "chosen": "training under tokens that are chosen before the first block",
    "twelve": "Focus on the Core in twelve blocks (MPNet-base)",
}
# Accuracy in points over BERT's, as the paper of Focus on the Core has them.
PAPER = {
    "sst2": {"focus-p": 0.4, "focus-pf": 0.7, "focus-c-11": 1.1, "focus-pfc-11": 1.4},
    "imdb": {"focus-p": 0.1, "focus-pf": 0.6, "focus-c-11": -1.1, "focus-pfc-11": -0.2},
    "bbc": {"focus-p": 1.0, "focus-pf": 1.7, "focus-c-11": 0.6, "focus-pfc-11": 1.9},
    "20ng": {"focus-p": 0.7, "focus-pf": 2.0, "focus-c-11": 0.5, "focus-pfc-11": 1.2},
    "arxiv": {"focus-p": 2.0, "focus-pf": 7.0, "focus-c-11": 1.0, "focus-pfc-11": 5.0},
}
for _name, _points in {"sst2": -0.6, "imdb": -0.9, "bbc": 0.8, "20ng": -0.2, "arxiv": -1.0}.items():
    PAPER[_name]["focus-pfc-7"] = _points

Cells = dict[str, dict[str, Any]]


def load(folder: Path = full_size.FOLDER) -> Cells:
    """Return the records by the names of their cells."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def progress(cells: Cells) -> str:
    """Say for each part how many of its cells are there, and what they took."""
    lines = ["| part | content | cells done | of | training hours |", "|---|---|---|---|---|"]
    for part, table in full_cells.TABLES.items():
        names = {cell.name for cell in table([0, 1, 2])}
        own = _of_part(cells, part)
        there = [record for name, record in own.items() if name in names]
        hours = sum(record["seconds"] for record in there) / 3600
        lines.append(f"| `{part}` | {ABOUT[part]} | {len(there)} | {len(names)} | {hours:.1f} |")
    return "\n".join(lines)


def _of_part(cells: Cells, part: str) -> Cells:
    if part == "twelve":
        return load(RESULTS / "twelve")
    # A dense row of 128 tokens belongs to the part that has it, so names decide, not records.
    return cells


def table(cells: Cells, part: str) -> str:
    """One line a data set and row, the seeds side by side, against the part's dense row."""
    runs: dict[tuple[str, str, int], dict[int, dict[str, Any]]] = defaultdict(dict)
    planned = list(full_cells.TABLES[part]([0, 1, 2]))
    own = _of_part(cells, part)
    for cell in planned:
        if cell.name in own:
            runs[cell.data, cell.row.name, cell.row.length][cell.seed] = own[cell.name]
    alone = ("dense", full_cells.ONCE.name)  # what other rows stand beside
    if all(row in alone for _, row, _ in runs):
        return ""
    head = ["data", "row", "seeds", "accuracy", "macro F1", "points over dense", "MACs"]
    head += ["the paper's points"] if part in ("focus", "twelve") else []
    head += ["added", "60 % answered"] if part == "chosen" else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (data, row, length), seeds in runs.items():
        bases = (runs.get((data, name, length)) for name in alone)
        base = next(filter(None, bases), {})
        cells_of_row = _figures(seeds, base)
        if part in ("focus", "twelve"):
            paper = PAPER.get(data, {}).get(row)
            cells_of_row.append("–" if paper is None else f"{paper:+.1f}")
        if part == "chosen":
            cells_of_row += [_with_evidence(seeds, how) for how in ("added", "shared")]
        lines.append(f"| {data} | `{row}` | {' | '.join(cells_of_row)} |")
    return "\n".join(lines)


def tables(cells: Cells) -> str:
    """The table of each part of which there is a cell, under its name, and what is not there."""
    made = {part: table(cells, part) for part in ABOUT}
    there = [
        f"{ABOUT[part][:1].upper()}{ABOUT[part][1:]}:\n\n{own}" for part, own in made.items() if own
    ]
    missing = ", ".join(f"`{part}`" for part, own in made.items() if not own)
    return "\n\n".join(there + ([f"No cells yet: {missing}."] if missing else []))


def _figures(seeds: dict[int, Any], base: dict[int, Any]) -> list[str]:
    """Return seeds, accuracy, macro F1, points and MACs of one row, as a line has them."""
    there = {seed: record for seed, record in sorted(seeds.items()) if "metrics" in record}
    if not there:
        return [str(len(seeds)), "cannot", "–", "–", "–"]
    both = [seed for seed in there if "metrics" in base.get(seed, {})]
    points, macs = "–", "–"
    if both and seeds is not base:
        gains = [100 * (_accuracy(there[seed]) - _accuracy(base[seed])) for seed in both]
        points = _each(gains, "+.1f")
        ratios = [
            there[seed]["macs_per_document"] / base[seed]["macs_per_document"] for seed in both
        ]
        macs = f"×{statistics.mean(ratios):.2f}"
    return [
        str(len(there)),
        _each([100 * _accuracy(record) for record in there.values()], ".1f"),
        _each([100 * record["metrics"]["macro_f1"] for record in there.values()], ".1f"),
        points,
        macs,
    ]


def _with_evidence(seeds: dict[int, Any], how: str) -> str:
    """Return the accuracy beside the linear stage's evidence, where a row has it."""
    there = [record[how] for _, record in sorted(seeds.items()) if how in record]
    return _each([100 * each["accuracy"] for each in there], ".1f") if there else "–"


def points_of(cells: Cells, data: str, row: str) -> tuple[float, float] | None:
    """Return the MACs over dense and the points over it, means over seeds; None without both."""
    pairs = [
        (cells[f"{data}-{row}-{seed}"], cells[f"{data}-dense-{seed}"])
        for seed in range(3)
        if {f"{data}-{row}-{seed}", f"{data}-dense-{seed}"} <= set(cells)
    ]
    if not pairs:
        return None
    macs = statistics.mean(
        own["macs_per_document"] / base["macs_per_document"] for own, base in pairs
    )
    return macs, 100 * statistics.mean(_accuracy(own) - _accuracy(base) for own, base in pairs)


def _accuracy(record: dict[str, Any]) -> float:
    return record["metrics"]["accuracy"]


def _each(values: list[float], form: str) -> str:
    """Return the mean, and every seed where there are several."""
    mean = format(statistics.mean(values), form)
    return (
        mean
        if len(values) == 1
        else f"{mean} ({', '.join(format(value, form) for value in values)})"
    )


def curves(folder: Path = RESULTS / "time_to_accuracy") -> str:
    """Seconds of packed training and of the stock Trainer to the same validation accuracy."""
    from time_to_accuracy import reached

    found: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        found[record["data"], record["seed"]][record["contender"]] = record["points"]
    pairs = {key: own for key, own in found.items() if len(own) == 2}
    if not pairs:
        return "Not measured yet."
    lines = [
        "| data | seed | accuracy | stock, s | packed, s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for (data, seed), own in pairs.items():
        best = min(max(point["accuracy"] for point in points) for points in own.values())
        for goal in (best - 0.02, best - 0.01, best):
            stock, packed = (reached(own[name], goal) for name in ("stock", "packed"))
            lines.append(
                f"| {data} | {seed} | {100 * goal:.1f} | {stock:,.0f} | {packed:,.0f} | "
                f"×{stock / packed:.2f} |"
            )
    return "\n".join(lines)


def memory(path: Path = RESULTS / "step_memory.json") -> str:
    """Time and memory of a training step over dense padded, beside the paper's."""
    if not path.is_file():
        return "Not measured yet."
    paper = {"focus-pfc at 7/12": (1.64, 0.61), "focus-pfc at 11/12": (1.29, 0.80)}
    lines = [
        "| contender | speed-up | memory above rest | the paper: speed-up, memory |",
        "|---|---|---|---|",
    ]
    for name, ratio in json.loads(path.read_text())["over_dense_padded"].items():
        told = " / ".join(f"×{value:.2f}" for value in paper.get(name, ())) or "–"
        lines.append(f"| {name} | ×{1 / ratio['seconds']:.2f} | ×{ratio['bytes']:.2f} | {told} |")
    return "\n".join(lines)
