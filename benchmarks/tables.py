"""Tables from one record of `results/` each; make_results.py puts them into the pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MISSING = "Not measured yet."


def window_table(record: dict[str, Any] | None) -> str:
    """Windows against dense attention, whole pass and attention alone, and the break-even."""
    if record is None:
        return MISSING
    lengths = list(record["whole_pass"])
    lines = [
        "| contender | " + " | ".join(f"{int(n):,} tokens, whole pass" for n in lengths) + " | "
        + " | ".join(f"{int(n):,} tokens, attention" for n in lengths) + " |",
        "|---" * (1 + 2 * len(lengths)) + "|",
    ]  # fmt: skip
    for name in record["whole_pass"][lengths[0]]:
        cells = []
        for part in ("whole_pass", "attention_of_one_layer"):
            for length in lengths:
                own = record[part][length].get(name)
                cells.append(_cell(own) if own else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    even = record["break_even"]
    lines += ["", _break_even(even["width"], even)]
    return "\n".join(lines)


def _cell(own: dict[str, float]) -> str:
    spread = f"{own['fastest_ms']:,.0f}–{own['slowest_ms']:,.0f}"
    return f"{own['median_ms']:,.0f} ms ({spread}), ×{own['times_dense']:.2f}"


def _break_even(width: int, even: dict[str, Any]) -> str:
    spelt = {
        part: f"{even[f'{part}_tokens']:,} tokens on" if even[f"{part}_tokens"] else "no length on"
        for part in ("whole_pass", "attention")
    }
    return (
        f"Windows of {width} on each side were faster from {spelt['whole_pass']} for the whole "
        f"pass, from {spelt['attention']} for attention alone."
    )


def sparsity_table(folder: Path) -> str:
    """What each pattern left of the accuracy: a line a pattern, a column a data set and layers."""
    cells: dict[str, dict[tuple[str, float], float]] = {}
    sparsities: dict[tuple[str, float], list[float]] = {}
    for path in sorted(folder.glob("*/*.json")):
        own = json.loads(path.read_text())
        settings = own["settings"]
        trained = "trained" if settings["epochs"] else "untrained"
        where = "" if own["pattern"] == "dense" else f", {own['layers'].replace('-', ' ')}"
        row = own["pattern"], own["share"]
        for layers in ("all", "last half") if not where else (where[2:],):
            column = f"{settings['data']} {trained}, {layers}"
            cells.setdefault(column, {})[row] = 100 * own["metrics"]["accuracy"]
        sparsities.setdefault(row, []).append(100 * own["sparsity"])
    if not cells:
        return MISSING
    columns = sorted(cells)
    lines = [
        f"| pattern | sparsity | {' | '.join(columns)} |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for row, found in sorted(sparsities.items(), key=lambda item: (item[0][0], min(item[1]))):
        ends = dict.fromkeys(f"{end:.0f}" for end in (min(found), max(found)))
        sparsity = f"{'–'.join(ends)} %"
        values = [f"{cells[c][row]:.1f}" if row in cells[c] else "–" for c in columns]
        lines.append(f"| {row[0]} | {sparsity} | {' | '.join(values)} |")
    return "\n".join(lines)


def serve_table(record: dict[str, Any] | None) -> str:
    """Requests, what became of them, and the latency of the answers, at each rate."""
    if record is None:
        return MISSING
    capacity = record["capacity_documents_per_second"]
    lines = [
        f"| rate, relative to {capacity:,.1f} documents/s | requests | answered | 429 | others | "
        "p50, ms | p99, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, load in record["loads"].items():
        statuses = load["statuses"]
        answered, refused = statuses.get("200", 0), statuses.get("429", 0)
        others = load["requests"] - answered - refused
        lines.append(
            f"| {name.replace('x', '×')} | {load['requests']:,} | {answered:,} | {refused:,} | "
            f"{others:,} | {load['p50_ms']:,.0f} | {load['p99_ms']:,.0f} |"
        )
    return captioned(
        lines,
        f"A queue of {record['queue']} documents; {machine(record)}; load average afterwards "
        f"{record['load_average_after']:.1f}, client and server included.",
    )


def latency_table(record: dict[str, Any] | None) -> str:
    """A cascade beside its reference: one document at a time, and served at several rates."""
    if record is None:
        return MISSING
    lines = [
        "| | rate, documents/s | answered of sent | p50, ms | p95, ms |",
        "|---|---|---|---|---|",
    ]
    for name, one in record["alone"].items():
        lines.append(f"| {name}, alone | – | – | {one['p50_ms']:,.0f} | {one['p95_ms']:,.0f} |")
        for load in record["served"][name]["loads"].values():
            lines.append(
                f"| {name}, served | {load['rate_sent']:.1f} | "
                f"{load['statuses'].get('200', 0):,} of {load['requests']:,} | "
                f"{load['p50_ms']:,.0f} | {load['p95_ms']:,.0f} |"
            )
    answered = record["alone"]["cascade"]["answered_by"]
    who = ", ".join(f"{stage} {count}" for stage, count in answered.items())
    return captioned(lines, f"Of {record['documents']} documents: {who}; {machine(record)}.")


def onnx_table(record: dict[str, Any] | None) -> str:
    """Each int8 export against the dense one: speed, MACs, their ratio, latency."""
    if record is None:
        return MISSING
    lines = [
        "| int8 | speed, relative to dense | MACs | speed-up ÷ reduction in MACs | "
        "latency of one document, ms, p50 / p95 |",
        "|---|---|---|---|---|",
    ]
    for result in record["results"]:
        if "speedup_over_reduction" not in result:
            continue
        lines.append(
            f"| `{result['name'].removesuffix(' int8')}` | ×{result['speedup']['median']:.2f} | "
            f"×{result['macs_ratio']:.2f} | {result['speedup_over_reduction']:.2f} | "
            f"{result['latency_p50']:.0f} / {result['latency_p95']:.0f} |"
        )
    data = record["data"]
    return captioned(
        lines,
        f"{data['documents']} documents of {data['set']} cut at {data['max_length']} tokens, "
        f"{record['rounds']} rounds; {machine(record)}.",
    )


def ray_table(record: dict[str, Any] | None) -> str:
    """Rows a second of 1, 2, … workers, as processes and as actors of a cluster."""
    if record is None:
        return MISSING
    lines = [
        "| workers | rows/s, processes | over one | rows/s, Ray cluster | over one | "
        "over as many processes |",
        "|---|---|---|---|---|---|",
    ]
    runs = {(run["where"], run["workers"]): run["rows_per_second"] for run in record["runs"]}
    for workers in sorted({workers for _, workers in runs}):
        here, there = runs["processes", workers], runs["ray", workers]
        lines.append(
            f"| {workers} | {here:,.1f} | ×{here / runs['processes', 1]:.2f} | {there:,.1f} | "
            f"×{there / runs['ray', 1]:.2f} | ×{there / here:.2f} |"
        )
    rounds = record["rounds"]
    turns = "one run each" if rounds == 1 else f"the median of {rounds} turns"
    return captioned(
        lines,
        f"{record['rows']:,} texts of {record['tokens'] / record['rows']:.0f} tokens in shards "
        f"of {record['shard_rows']:,} rows, {turns}; "
        f"{machine(record)}.",
    )


def choice_table(folder: Path) -> str:
    """What was left of the accuracy, a table for each data set, the fewest MACs last."""
    tables = []
    for path in sorted(folder.glob("*-dense.json")):
        dense, name = json.loads(path.read_text()), path.stem.removesuffix("-dense")
        cells = [json.loads(each.read_text()) for each in folder.glob(f"{name}-*.json")]
        cells = [cell for cell in cells if "alone" in cell]
        cells.sort(key=lambda cell: (-round(cell["macs_per_document"], -7), cell["cell"]))
        lines = [
            "| choice | MACs | alone: accuracy, macro F1 | added | 60 % answered: accuracy, MACs |",
            "|---|---|---|---|---|",
        ]
        for cell in cells:
            alone, added, shared = (cell[each] for each in ("alone", "added", "shared"))
            macs = (cell[f"macs_per_document{each}"] for each in ("", "_shared"))
            whole, part = (f"×{each / dense['macs_per_document']:.3f}" for each in macs)
            lines.append(
                f"| `{cell['cell']}` | {whole} | {100 * alone['accuracy']:.1f}, "
                f"{100 * alone['macro_f1']:.1f} | {100 * added['accuracy']:.1f} | "
                f"{100 * shared['accuracy']:.1f}, {part} |"
            )
        about = f"{name}: {dense['test_documents']:,} test documents; the linear stage alone has "
        tables.append(captioned(lines, f"{about}{100 * dense['linear']['accuracy']:.1f}."))
    return "\n\n".join(tables) or MISSING


def long_table(folder: Path) -> str:
    """What each policy for long documents reads, and gets right."""
    lines = [
        "| data | policy | over 128 pieces | over 512 pieces | tokens read | MACs |",
        "|---|---|---|---|---|---|",
    ]
    cells = [json.loads(path.read_text()) for path in sorted(folder.glob("*-long-*.json"))]
    base = {each["data"]: each for each in cells if each["cell"] == "long-truncate"}
    for cell in cells:
        scores = (
            f"{100 * cell[part]['accuracy']:.1f} of {cell[part]['documents']:,}"
            for part in ("over_128", "over_512")
        )
        macs = cell["macs_per_document"] / base[cell["data"]]["macs_per_document"]
        lines.append(
            f"| {cell['data']} | `{cell['cell'].removeprefix('long-')}` | {' | '.join(scores)} | "
            f"{cell['tokens_read']:,} | ×{macs:.2f} |"
        )
    return "\n".join(lines) if cells else MISSING


def captioned(lines: list[str], caption: str) -> str:
    """The lines of a table, and below it what it was measured on."""
    return "\n".join([*lines, "", caption])


def machine(record: dict[str, Any]) -> str:
    """The processor, its cores and the versions that matter."""
    about = record["machine"]
    named = ("torch", "onnxruntime", "ray")
    versions = [
        f"{each} {about['versions'][each]}" for each in named if about["versions"].get(each)
    ]
    return ", ".join([about["cpu"], f"{about['usable_cores']} cores", *versions])
