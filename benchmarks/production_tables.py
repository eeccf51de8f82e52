"""Tables of what runs in production: the server under load, ONNX Runtime, workers of a cluster.

Each is generated from one JSON file of `benchmarks/results`; see `make_results.py`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["onnx_table", "ray_table", "serve_table"]

MISSING = "Not measured yet."


def serve_table(record: dict[str, Any] | None) -> str:
    """Requests, what became of them, and the latency of the answers, at each rate."""
    if record is None:
        return MISSING
    capacity = record["capacity_documents_per_second"]
    lines = [
        f"| rate, to {capacity:,.1f} documents/s | requests | answered | 429 | others | "
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
        f"A queue of {record['queue']} documents; {machine(record)}; load average after it "
        f"{record['load_average_after']:.1f}, client and server included.",
    )


def onnx_table(record: dict[str, Any] | None) -> str:
    """Each int8 export against the dense one: speed, MACs, their ratio, latency."""
    if record is None:
        return MISSING
    lines = [
        "| int8 | speed, to dense | MACs | speed-up over the reduction | "
        "ms a document alone, p50 / p95 |",
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
        "| workers | rows/s of processes | to one | rows/s of a Ray cluster | to one | "
        "to as many processes |",
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
