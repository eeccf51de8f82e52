"""Tables of the pages' sections on windows and on thinner attention, from the committed JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
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
    """What each pattern left of the accuracy, a table for each data set."""
    tables = []
    for where in sorted(folder.glob("*/")):
        cells = [json.loads(path.read_text()) for path in sorted(where.glob("*.json"))]
        if cells:
            tables.append(_cells(cells))
    return "\n\n".join(tables) or MISSING


def _cells(cells: list[dict[str, Any]]) -> str:
    order = sorted(cells, key=lambda own: (own["layers"], own["pattern"], own["sparsity"]))
    settings = cells[0]["settings"]
    lines = [
        f"{settings['data']}, {cells[0]['documents']:,} documents of the test part at "
        f"{settings['max_length']} tokens, {_training(settings)}:",
        "",
        "| pattern | layers | sparsity there | accuracy |",
        "|---|---|---|---|",
    ]
    for own in order:
        lines.append(
            f"| {own['pattern']} | {own['layers']} | {100 * own['sparsity']:.1f} % | "
            f"{100 * own['metrics']['accuracy']:.1f} |"
        )
    return "\n".join(lines)


def _training(settings: dict[str, Any]) -> str:
    if not settings["epochs"]:
        return "the dense model's weights as they are"
    return f"every cell fine-tuned for {settings['epochs']:g} epoch(s) from the same dense model"
