"""Tables of speed from the records of the bench, of `accelerate` and of the growth run.

make_results.py puts them into the pages.
"""

from __future__ import annotations

from typing import Any

from tables import MISSING


def forward_table(record: dict[str, Any] | None) -> str:
    """Speed, share of the peak, MACs and memory of every contender."""
    if record is None:
        return MISSING
    lines = [
        "| contender | documents/s, ratio to dense packed (quartiles) | MACs | "
        "share of matrix peak | peak memory, ratio | latency of one document, p50 / p95, ratio |",
        "|---|---|---|---|---|---|",
    ]
    results = {result["name"]: result for result in record["results"]}
    base = results[record["baseline"]]
    for name, result in results.items():
        speed = result["speedup"]
        memory = (
            result["memory"]
            and base["memory"]
            and (f"×{result['memory']['peak_bytes'] / base['memory']['peak_bytes']:.2f}")
        )
        lines.append(
            f"| {name} | ×{speed['median']:.2f} ({speed['lower_quartile']:.2f}–"
            f"{speed['upper_quartile']:.2f}) | ×{result['macs_ratio']:.2f} | "
            f"{result['peak_share']:.0%} | {memory or '–'} | "
            f"×{result['latency_p50'] / base['latency_p50']:.2f} / "
            f"×{result['latency_p95'] / base['latency_p95']:.2f} |"
        )
    return "\n".join(lines)


def reached(record: dict[str, Any] | None, training: dict[str, Any] | None) -> str:
    """The targets, and what was reached."""
    lines = ["| target | goal | reached |", "|---|---|---|"]
    if record is not None:
        results = {result["name"]: result for result in record["results"]}
        for name, asked in (("pipeline", 1.4), ("sorted", 1.05)):
            ratio = 1 / results[name]["speedup"]["median"]
            lines.append(_target(f"dense packed against `{name}`, speed", asked, ratio))
        lines.append(
            _target("dense packed, share of the matrix peak", 0.7, results["dense"]["peak_share"])
        )
        for name in ("focus-pfc", "focus-pfc shared", "focus-c"):
            result = results[name]
            share = result["speedup"]["median"] * result["macs_ratio"]
            what = f"`{name}`: speed-up ÷ reduction in MACs"
            lines.append(_target(what, 0.9, share))
    if training is not None:
        speed = training["speed_ratio"]["median"]
        lines.append(_target("training, tokens/s against the stock Trainer", 1.3, speed))
        memory = training["memory_ratio"]["median"]
        verdict = "yes" if memory < 1 else "**no**"
        lines.append(f"| training, peak memory against it | below 1 | {memory:.2f} ({verdict}) |")
    return "\n".join(lines)


def _target(what: str, asked: float, got: float) -> str:
    verdict = "yes" if got >= asked else "**no**"
    return f"| {what} | {asked:g} | {got:.2f} ({verdict}) |"


def accelerate_table(found: dict[str, dict[str, Any] | None]) -> str:
    """What `tersely accelerate` answered for each data set, and what the answer rests on."""
    found = {name: each for name, each in found.items() if each}
    if not found:
        return MISSING
    lines = [
        "| model | limit | verdict | speed-up over padded, in arrival order / sorted | "
        "speed-up over packed | proof texts: answered early, changed, bound at 95 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, evidence in found.items():
        speed = " / ".join(_ratio(ratio) for ratio in evidence["speed"].values())
        over, proof = evidence["over_packed"], evidence["certificates"]
        answer = f"{evidence['answer']}: {evidence['chosen']}"
        if over and evidence["chosen"] != "cascade":
            answer += f"; a cascade was {_ratio(over)} as fast as packed, too uncertain a gain"
            over = None
        others = [
            f"{each['limit']:.1%}: ×{each['speed']['packed']['median']:.2f}"
            for each in evidence.get("by_limit", ())  # since version 5
            if each["limit"] != evidence["limit"]
        ]
        packed = "; ".join([_ratio(over) if over else "–", *others])
        proven = "; ".join(
            f"{each['early']:,}, {each['worse']} of {each['documents']:,}, {each['bound']:.2%}"
            for each in (proof["certificates"] if proof else ())
            if each["limit"] == evidence["limit"]
        )
        lines.append(
            f"| {name} | {evidence['limit']:.2%} | {answer} | "
            f"{speed} | {packed} | {proven or '–'} |"
        )
    return "\n".join(lines)


def _ratio(ratio: dict[str, Any]) -> str:
    low, high = ratio["interval"]
    return f"×{ratio['median']:.2f} ({low:.2f}–{high:.2f})"


def bench_table(record: dict[str, Any] | None) -> str:
    """Accuracy and speed of every contender of a report."""
    if record is None:
        return MISSING
    lines = [
        "| contender | accuracy (95 %) | against the baseline, points (95 %), p | "
        "speed-up (95 %) | with tokenising | MACs | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in record["results"]:
        low, high = result["quality_intervals"]["accuracy"]
        found = result["comparison"]
        speed, whole = result["speedup"], result["speedup_with_tokenising"]
        ratio, memory = result["macs_ratio"], result["memory"]
        lines.append(
            f"| `{result['name']}` | {100 * result['quality']['accuracy']:.1f} "
            f"({100 * low:.1f}–{100 * high:.1f}) | {100 * found['difference']:+.1f} "
            f"({100 * found['interval'][0]:+.1f} to {100 * found['interval'][1]:+.1f}), "
            f"{found['p_value']:.2g} | ×{speed['median']:.2f} ({speed['interval'][0]:.2f}–"
            f"{speed['interval'][1]:.2f}) | ×{whole['median']:.2f} | "
            f"{'–' if ratio is None else f'×{ratio:.2f}'} | "
            f"{'–' if memory is None else format(memory['peak_bytes'] / 2**20, '.0f')} |"
        )
    lines += ["", f"{record['judged']} documents evaluated, {record['documents']} timed, "
              f"{record['rounds']} rounds; {_cpu(record)}."]  # fmt: skip
    if record["inconclusive"]:
        named = ", ".join(f"`{each}`" for each in record["inconclusive"])
        lines.append(f"Not conclusive whether faster or slower than the baseline: {named}.")
    return "\n".join(lines)


def growth_table(record: dict[str, Any] | None) -> str:
    """The exponents of the growth run."""
    if record is None:
        return MISSING
    lengths = [point["length"] for point in record["length"]["points"]]
    lines = [
        f"| contender | time by document length, {lengths[0]:,}–{lengths[-1]:,} tokens | "
        "upper half of the lengths | time by number of documents |",
        "|---|---|---|---|",
    ]
    for name, fit in record["length"]["fits"].items():
        count = record["count"]["fits"][name]
        lines.append(
            f"| {name} | n^{fit['exponent']:.2f} | n^{fit['exponent_upper_half']:.2f} | "
            f"n^{count['exponent']:.2f} |"
        )
    return "\n".join([*lines, "", f"{record['encoder']}; {_cpu(record)}."])


def _cpu(record: dict[str, Any]) -> str:
    return f"{record['machine']['cpu']}, {record['machine']['threads']} threads"


def machine(record: dict[str, Any] | None) -> str:
    """The machine, the versions and the documents of a record of the forward pass."""
    if record is None:
        return MISSING
    own = record["machine"]
    versions = own.get("versions", own)
    return (
        f"{own['cpu']}, {own['threads']} threads, torch {versions['torch']}, "
        f"transformers {versions['transformers']}; {record['data']['documents']} documents of "
        f"{record['data']['set']}, {record['rounds']} rounds; matrix peak "
        f"{2 * record['matrix_peak'] / 1e9:.0f} GFLOP/s in the same run."
    )
