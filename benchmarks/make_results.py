"""Generate the figures of the pages below and of the README from the committed JSON.

    python benchmarks/make_results.py [--check]

Cells of the table that were not run yet are shown as missing. With `--check` nothing is written,
and the exit status is 1 if a file is not what the JSON says, or the JSON is older than the format
that the code writes today.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import full_tables
import method_tables
import speed_tables
import tables
import user_tables

HERE = Path(__file__).parent
ROOT = HERE.parent
SETS = ("bbc", "r8", "20ng")
METHODS = ("dense", "focus-pf", "focus-pfc")
PAGES = ("results", "bench", "serving", "export", "scoring", "choosing-tokens")


def load(path: Path) -> dict[str, Any] | None:
    """A result, or None if it was not made yet."""
    return json.loads(path.read_text()) if path.exists() else None


def training_table() -> str:
    """Accuracy and macro F1 of each cell: mean over the seeds, and every seed."""
    lines = [
        "| data | method | seeds | accuracy | macro F1 | against dense, points | MACs a document |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        cells = {method: _runs(name, method) for method in METHODS}
        for method, runs in cells.items():
            if not runs:
                lines.append(f"| {name} | {method} | – | not run yet | | | |")
                continue
            lines.append(_row(name, method, runs, cells["dense"]))
    return "\n".join(lines)


def _runs(name: str, method: str) -> dict[int, dict[str, Any]]:
    found = sorted((HERE / "results" / "focus").glob(f"{name}-{method}-[0-9]*.json"))
    runs = (json.loads(path.read_text()) for path in found)
    return {run["seed"]: run for run in runs if run["method"] == method}


def _row(name: str, method: str, runs: dict[int, Any], dense: dict[int, Any]) -> str:
    accuracy = [100 * run["metrics"]["accuracy"] for run in runs.values()]
    f1 = [100 * run["metrics"]["macro_f1"] for run in runs.values()]
    both = sorted(set(runs) & set(dense))
    gain = "–"
    if method != "dense" and both:
        differences = [
            100 * (runs[s]["metrics"]["accuracy"] - dense[s]["metrics"]["accuracy"]) for s in both
        ]
        gain = f"{statistics.mean(differences):+.1f} ({_each(differences, '+.1f')})"
    ratio = ""
    if dense:
        base = statistics.mean(run["macs_per_document"] for run in dense.values())
        own = statistics.mean(run["macs_per_document"] for run in runs.values())
        ratio = f"×{own / base:.2f}"
    return (
        f"| {name} | {method} | {len(runs)} | {statistics.mean(accuracy):.1f} "
        f"({_each(accuracy, '.1f')}) | {statistics.mean(f1):.1f} ({_each(f1, '.1f')}) | {gain} | "
        f"{ratio} |"
    )


def _each(values: list[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)


def fill(text: str, parts: dict[str, str]) -> str:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(partial(_between, content), text)
    return text


def _between(content: str, match: re.Match) -> str:
    return f"{match[1]}{content}\n{match[2]}"


def verdict() -> str:
    """What fell behind dense, and what is missing, in words."""
    lines = []
    for name in SETS:
        dense = _runs(name, "dense")
        for method in METHODS[1:]:
            runs = _runs(name, method)
            both = sorted(set(runs) & set(dense))
            if not both:
                lines.append(f"- `{method}` on {name} was not run yet.")
                continue
            gains = [
                100 * (runs[s]["metrics"]["accuracy"] - dense[s]["metrics"]["accuracy"])
                for s in both
            ]
            if statistics.mean(gains) < 0:
                lines.append(
                    f"- `{method}` on {name} lost {-statistics.mean(gains):.1f} points of accuracy "
                    f"to dense ({len(both)} seeds: {_each(gains, '+.1f')})."
                )
    return "\n".join(lines) or "Nothing fell behind dense in these runs."


def summary(cells: method_tables.Cells, full: full_tables.Cells) -> str:
    """What one gains and loses, a line for each kind of documents."""
    reports = {name: load(HERE / "results" / "bench" / f"{name}.json") for name in ("bbc", "20ng")}
    of = {
        name: {each["name"]: each for each in report["results"]} for name, report in reports.items()
    }

    def speed(name: str, row: str, over: str) -> str:
        ratio = of[name][row]["speedup"]["median"] / of[name][over]["speedup"]["median"]
        return f"×{ratio:.1f}"

    def points(name: str, row: str) -> str:
        return f"{100 * of[name][row]['comparison']['difference']:+.1f}"

    topk, r8 = "topk:trained=no", load(HERE / "results" / "accelerate" / "r8.json")
    padded = next(iter(r8["packed_speed"].values()))["median"]
    lines = [
        "| documents | what | speed | accuracy, points |",
        "|---|---|---|---|",
        *user_tables.gains(HERE / "results" / "instead"),
        f"| of varying length (20 Newsgroups) | packed instead of the padded pipeline | "
        f"{speed('20ng', '20ng-dense-0', 'pipeline')} | 0: the same labels |",
        f"| all cut to one length (BBC News) | the same | "
        f"{speed('bbc', 'bbc-dense-0', 'pipeline')} | 0: the same labels |",
        f"| of varying length | `topk` on the same weights, against packed | "
        f"{speed('20ng', topk, '20ng-dense-0')} | {points('20ng', topk)} |",
        f"| long, on one subject each (BBC News) | the same | "
        f"{speed('bbc', topk, 'bbc-dense-0')} | {points('bbc', topk)} |",
        f"| whose words give the class away (BBC News) | TF-IDF, linear model, against packed | "
        f"{speed('bbc', 'tfidf', 'bbc-dense-0')} | {points('bbc', 'tfidf')} |",
        f"| whose words don't (20 Newsgroups) | the same | "
        f"{speed('20ng', 'tfidf', '20ng-dense-0')} | {points('20ng', 'tfidf')} |",
    ]
    # Another processor than that of the rows above.
    lines.append(
        f"| of varying length (R8, two virtual cores of an {r8['machine']['cpu']}) | packed "
        f"instead of the padded pipeline | ×{padded:.1f} | 0: the same labels |"
    )
    if r8["chosen"] == "cascade":
        proven = r8["certificates"]["certificates"]
        own = next(each for each in proven if each["limit"] == r8["limit"])
        lines.append(
            f"| the same | a cascade certified to change at most {r8['limit']:.0%} of "
            f"the labels, against packed | ×{r8['over_packed']['median']:.1f} | "
            f"{own['worse']} of {own['documents']} labels changed |"
        )
    for name in SETS:
        row = full_tables.points_of(full, name, "focus-pfc-7")
        trained = "all documents"
        if row is None:  # until the full-size cell is there
            runs = cells[name, "focus-pfc", 0.5].values()
            macs = statistics.mean(run["macs_ratio"] for run in runs)
            row = macs, statistics.mean(method_tables.gains(cells, name, "focus-pfc", 0.5))
            trained = "few documents"
        lines.append(
            f"| {name}, trained on {trained} | `focus-pfc` at 7/12 | ×{row[0]:.2f} of the MACs | "
            f"{row[1]:+.1f} |"
        )
        chosen = full_tables.points_of(full, name, "chosen-linear-margin@0.25")
        if chosen is not None:
            lines.append(
                f"| {name}, trained on all documents | `choose`, before the first block | "
                f"×{chosen[0]:.2f} of the MACs | {chosen[1]:+.1f} |"
            )
    return "\n".join(lines)


def outdated() -> list[str]:
    """Name the records that the code would write in another format today."""
    import diagnose_focus
    import full_size
    import instead
    import setfit_small
    import small_data
    import step_memory
    import time_to_accuracy
    from tersely.accelerate.search import VERSION as of_evidence
    from tersely.bench.report import VERSION as of_reports
    from tersely.training.recipe import VERSION as of_recipe

    wanted = {
        "bench/*.json": {"version": of_reports},
        "forward.json": {"version": of_reports},
        "onnx.json": {"version": of_reports},
        "accelerate/*.json": {"version": of_evidence},
        "full/*.json": {"format": full_size.FORMAT, "recipe": of_recipe},
        "twelve/*.json": {"format": full_size.FORMAT, "recipe": of_recipe},
        "time_to_accuracy/*.json": {"format": time_to_accuracy.FORMAT, "recipe": of_recipe},
        "focus_diagnosis/*.json": {"format": diagnose_focus.FORMAT},
        "step_memory.json": {"format": step_memory.FORMAT},
        "instead/*.json": {"format": instead.FORMAT},
        "setfit/*.json": {"format": setfit_small.FORMAT},
        "small/*.json": {"format": small_data.FORMAT, "recipe": of_recipe},
    }
    return [
        f"{path.relative_to(HERE)}: {name} {record.get(name)}, today {value}"
        for pattern, about in wanted.items()
        for path in sorted((HERE / "results").glob(pattern))
        for record in (json.loads(path.read_text()),)
        for name, value in about.items()
        if record.get(name) != value
    ]


def main() -> int:
    """Write the files, or check them."""
    forward = load(HERE / "results" / "forward.json")
    training = load(HERE / "results" / "training.json")
    evidence = {name: load(HERE / "results" / "accelerate" / f"{name}.json") for name in SETS}
    cells, speeds = method_tables.load_cells(), method_tables.load_speeds()
    full = full_tables.load()
    parts = {
        "summary": summary(cells, full),
        "full-progress": full_tables.progress(full),
        "full-tables": full_tables.tables(full),
        "time-to-accuracy": full_tables.curves(),
        "step-memory": full_tables.memory(),
        "training-table": training_table(),
        "forward-table": speed_tables.forward_table(forward),
        "targets": speed_tables.reached(forward, training),
        "machine": speed_tables.machine(forward),
        "verdict": verdict(),
        "windows": tables.window_table(load(HERE / "results" / "window.json")),
        "sparsity": tables.sparsity_table(HERE / "results" / "sparsify"),
        "accelerate": speed_tables.accelerate_table(evidence),
        "instead": user_tables.instead_table(HERE / "results" / "instead"),
        "instead-fronts": user_tables.fronts(HERE / "results" / "instead"),
        "small": user_tables.small_table(HERE / "results" / "small"),
        "setfit": user_tables.setfit_table(HERE / "results" / "setfit", HERE / "results" / "small"),
        "bench-bbc": speed_tables.bench_table(load(HERE / "results" / "bench" / "bbc.json")),
        "bench-20ng": speed_tables.bench_table(load(HERE / "results" / "bench" / "20ng.json")),
        "growth": speed_tables.growth_table(load(HERE / "results" / "growth.json")),
        "serve": tables.serve_table(load(HERE / "results" / "serve.json")),
        "latency": tables.latency_table(load(HERE / "results" / "latency.json")),
        "onnx": tables.onnx_table(load(HERE / "results" / "onnx.json")),
        "ray": tables.ray_table(load(HERE / "results" / "ray.json")),
        "choices": tables.choice_table(HERE / "results" / "input"),
        "long-documents": tables.long_table(HERE / "results" / "input"),
        "methods-counts": method_tables.counts(cells),
        "methods-dense": method_tables.dense_table(cells),
        "methods-half": method_tables.table(cells, speeds, 0.5),
        "methods-quarter": method_tables.table(cells, speeds, 0.25),
    }
    stale = []
    for path in (*(ROOT / "docs" / f"{page}.md" for page in PAGES), ROOT / "README.md"):
        text = path.read_text(encoding="utf-8")
        filled = fill(text, parts)
        if filled != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(filled, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"not what the JSON says: {', '.join(stale)}; run benchmarks/make_results.py")
    old = outdated() if "--check" in sys.argv else []
    for record in old:
        print(f"older than the format that is written: {record}; measure it again")
    return int(bool(old or ("--check" in sys.argv and stale)))


if __name__ == "__main__":
    sys.exit(main())
