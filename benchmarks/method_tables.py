"""The tables and plots of the comparison of methods, from the JSON of compare_methods.py.

    python benchmarks/method_tables.py        # draws docs/images/methods-*.png

make_results.py puts the tables into docs/results.md. Cells that were not run yet are shown as "–".
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "methods"
IMAGES = HERE.parent / "docs" / "images"
SETS = ("bbc", "r8", "20ng")
# The name of a run, the preset and its options. Those of the second group compare scorers.
SCORES = ("column-mean-values",)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {})
    for name in (
        "focus-pfc",
        "ltp",
        "ltp-once",
        "topk",
        "tome",
        "fca",
        "pool",
        "random",
        "truncate",
    )
} | {f"topk-{score}": ("topk", {"score": score}) for score in SCORES}
OTHERS = ("threshold", "fewer-layers", "power-bert", "transkimmer", "adapler", "lat")
METHODS |= {name: (name, {}) for name in OTHERS}

Cells = dict[tuple[str, str, float | None], dict[int, dict[str, Any]]]


def load_cells(results: Path = RESULTS) -> Cells:
    """The runs by data set, method and target, and in each by seed."""
    cells: Cells = {}
    for path in sorted(results.glob("*.json")):
        if path.name.startswith("speed-"):
            continue
        run = json.loads(path.read_text())
        cells.setdefault((run["data"], run["method"], run["target"]), {})[run["seed"]] = run
    return cells


def load_speeds(results: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """The speed-ups that were measured, by the name of a run."""
    speeds: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("speed-*.json")):
        speeds |= json.loads(path.read_text())["speedup"]
    return speeds


def gains(cells: Cells, name: str, method: str, target: float | None) -> list[float]:
    """Points of accuracy against dense with one epoch more, for the seeds that have both."""
    dense = cells.get((name, "dense", None), {})
    own = cells.get((name, method, target), {})
    return [
        100 * (own[seed]["metrics"]["accuracy"] - dense[seed]["metrics"]["accuracy"])
        for seed in sorted(set(own) & set(dense))
        if "metrics" in own[seed]
    ]


def speed_of(speeds: dict[str, Any], name: str, method: str, target: float | None) -> Any:
    """The measured speed-up of a cell, of whichever seed was measured; None if none was."""
    start = f"{name}-{method}-{target:g}-"
    return next((speed for key, speed in speeds.items() if key.startswith(start)), None)


def table(cells: Cells, speeds: dict[str, Any], target: float) -> str:
    """One line a method: points against dense, MACs reached and speed for each set."""
    head = " | ".join(f"{name}: points | {name}: MACs, speed" for name in SETS)
    lines = [f"| method | {head} | mean, points |", "|---|" + "---|" * (2 * len(SETS) + 1)]
    rows = []
    run = {method for _, method, own in cells if own == target}
    for method in (method for method in METHODS if method in run):
        means = [statistics.mean(g) for name in SETS if (g := gains(cells, name, method, target))]
        rows.append((statistics.mean(means) if len(means) == len(SETS) else None, method))
    for mean, method in sorted(rows, key=lambda row: (row[0] is None, -(row[0] or 0), row[1])):
        parts = [part for name in SETS for part in _entries(cells, speeds, name, method, target)]
        total = "–" if mean is None else f"{mean:+.1f}"
        lines.append(f"| {method} | {' | '.join(parts)} | {total} |")
    missing = ", ".join(f"`{method}`" for method in METHODS if method not in run)
    return "\n".join([*lines, *(["", f"Not run: {missing}."] if missing else [])])


def _entries(
    cells: Cells, speeds: dict[str, Any], name: str, method: str, target: float
) -> tuple[str, str]:
    runs = cells.get((name, method, target), {})
    if not runs:
        return "–", "–"
    if any("unreachable" in run for run in runs.values()):
        return "cannot", "–"
    found = gains(cells, name, method, target)
    each = ", ".join(f"{gain:+.1f}" for gain in found)
    points = f"{statistics.mean(found):+.1f} ({each})" if found else "–"
    reached = statistics.mean(run["macs_ratio"] for run in runs.values())
    speed = speed_of(speeds, name, method, target)
    measured = "–" if speed is None else f"{speed['median']:.2f}x"
    return points, f"{reached:.2f}, {measured}"


def dense_table(cells: Cells) -> str:
    """What all are compared with: the dense models, and the same with one epoch more."""
    lines = ["| data | seeds | dense, accuracy | dense, one epoch more |", "|---|---|---|---|"]
    for name in SETS:
        runs = cells.get((name, "dense", None), {})
        if not runs:
            lines.append(f"| {name} | – | not run yet | |")
            continue
        first = [100 * run["dense_metrics"]["accuracy"] for run in runs.values()]
        more = [100 * run["metrics"]["accuracy"] for run in runs.values()]
        lines.append(f"| {name} | {len(runs)} | {_mean(first)} | {_mean(more)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


def counts(cells: Cells) -> str:
    """How many cells there are, in words."""
    runs = [run for seeds in cells.values() for run in seeds.values()]
    seeds = sorted({run["seed"] for run in runs})
    resumed = sum(bool(run.get("resumed")) for run in runs)
    return (
        f"{len(runs)} runs, seeds {', '.join(map(str, seeds)) or 'none'}; {resumed} resumed after "
        "an interruption."
    )


def draw(cells: Cells, speeds: dict[str, Any], folder: Path = IMAGES) -> list[Path]:
    """Draw accuracy against MACs and against measured speed, one picture each."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)

    def cost(name: str, method: str, target: float) -> float | None:
        runs = cells[name, method, target].values()
        found = [run["macs_ratio"] for run in runs if "metrics" in run]
        return statistics.mean(found) if found else None

    def speed(name: str, method: str, target: float) -> float | None:
        measured = speed_of(speeds, name, method, target)
        return None if measured is None else measured["median"]

    pictures = [("MACs", "MACs over dense", cost)]
    if speeds:
        pictures.append(("speed", "measured speed-up over dense packed", speed))
    return [
        _draw(cells, axis, place, folder / f"methods-{kind}.png") for kind, axis, place in pictures
    ]


def _draw(cells: Cells, axis: str, place: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure, panes = pyplot.subplots(1, len(SETS), figsize=(13, 4.6), constrained_layout=True)
    methods = sorted({method for _, method, target in cells if target is not None})
    colours = dict(zip(methods, _colours(len(methods)), strict=True))
    for pane, name in zip(panes, SETS, strict=True):
        pane.axhline(0, color="0.6", linewidth=1)
        for method in methods:
            points = sorted(_points(cells, name, method, place))
            if not points:
                continue
            x, middle, low, high = zip(*points, strict=True)
            marker = "o" if not method.startswith("topk-") else "s"
            spread = [
                [m - lo for m, lo in zip(middle, low, strict=True)],
                [hi - m for m, hi in zip(middle, high, strict=True)],
            ]
            pane.errorbar(
                x,
                middle,
                yerr=spread,
                marker=marker,
                markersize=5,
                linewidth=1,
                capsize=2,
                color=colours[method],
                label=method,
            )
        pane.set_title(name)
        pane.set_xlabel(axis)
    panes[0].set_ylabel("accuracy against dense, points")
    handles = {}
    for pane in panes:
        handles |= dict(zip(*reversed(pane.get_legend_handles_labels()), strict=True))
    if handles:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=6, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _points(
    cells: Cells, name: str, method: str, place: Any
) -> Iterable[tuple[float, float, float, float]]:
    for set_name, own, target in cells:
        if (set_name, own) == (name, method) and target is not None:
            found, x = gains(cells, name, method, target), place(name, method, target)
            if found and x is not None:
                yield x, statistics.mean(found), min(found), max(found)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["tab20"](number % 20) for number in range(count)]


if __name__ == "__main__":
    for picture in draw(load_cells(), load_speeds()):
        print(picture.relative_to(HERE.parent))
