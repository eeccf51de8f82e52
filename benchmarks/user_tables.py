"""Tables of what a user gets by default: beside what one would pick instead, and on few documents.

make_results.py puts them into the pages; instead.py, small_data.py and setfit_small.py wrote their
records.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

MISSING = "Not measured yet."
SETS = {"bbc": "BBC News", "r8": "R8", "20ng": "20 Newsgroups"}
SETS |= {"sst2": "SST-2", "arxiv": "arXiv", "imdb": "IMDB"}
NAMES = {
    "pipeline": "the encoder in transformers' pipeline",
    "sorted": "the same, sorted by length",
    "onnx": "the encoder in ONNX Runtime, float32",
    "onnx-int8": "the encoder in ONNX Runtime, int8",
    "openvino-float32": "the encoder in OpenVINO, float32",
    "openvino-int8": "the encoder in OpenVINO, int8",
    "static": "static vectors (model2vec) + logistic regression",
    "frozen": "frozen encoder + logistic regression",
    "tfidf": "the linear model alone",
    "dense, packed": "the encoder, packed",
    "tersely, all read": "**tersely**, the encoder reads everything",
    "tersely": "**tersely**, the cascade",
}


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def _rate(record: dict[str, Any], result: dict[str, Any]) -> float:
    """Return documents per second from text."""
    return record["documents"] / (
        statistics.median(result["seconds"]) + (result["tokenising"] or 0.0)
    )


def instead_table(folder: Path) -> str:
    """Return accuracy and speed from text of every contender, two columns a set."""
    records = _records(folder)
    if not records:
        return MISSING
    head = [
        f"{SETS[each['data']]}: accuracy (95 % interval) | documents/s, from text"
        for each in records
    ]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (1 + 2 * len(records)) + "|"]
    for name, about in NAMES.items():
        cells = [about]
        for record in records:
            own = next((each for each in record["results"] if each["name"] == name), None)
            if own is None:
                cells += ["–", "–"]
                continue
            low, high = own["quality_intervals"]["accuracy"]
            cells.append(
                f"{100 * own['quality']['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})"
            )
            cells.append(f"{_rate(record, own):,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fronts(folder: Path) -> str:
    """Return a line for each set: what it was measured on, and who is above ours."""
    return "\n".join(map(_front, _records(folder))) or MISSING


def gains(folder: Path) -> list[str]:
    """Return a line of the summary for each set: what the cascade gains over the packed encoder."""
    lines = []
    for record in _records(folder):
        own, base = (
            next(each for each in record["results"] if each["name"] == name)
            for name in ("tersely", "dense, packed")
        )
        points = 100 * (own["quality"]["accuracy"] - base["quality"]["accuracy"])
        limit = f"certified to lose at most {record['max_loss']:.0%} net"
        where = f"{SETS[record['data']]}, trained on all documents ({record['machine']['cpu']})"
        lines.append(
            f"| {where} | the cascade of `train`, {limit}, against packed | "
            f"×{own['speedup']['median']:.1f} | {points:+.1f} |"
        )
    return lines


def _front(record: dict[str, Any]) -> str:
    """Return what is at least as accurate and as fast as ours, and what was measured on what."""
    points = {
        each["name"]: (each["quality"]["accuracy"], _rate(record, each))
        for each in record["results"]
    }
    machine = record["machine"]
    about = (
        f"{SETS[record['data']]}: {record['train_documents']:,} training and "
        f"{record['test_documents']:,} test documents; {record['documents']} timed, "
        f"{record['rounds']} rounds in turns, {machine['cpu']}, {machine['threads']} threads."
    )
    said = []
    for name in ("tersely", "tersely, all read"):
        if name not in points:
            continue
        above = [
            NAMES[other].replace("**", "")
            for other, point in points.items()
            if other != name and all(a >= b for a, b in zip(point, points[name], strict=True))
        ]
        what = NAMES[name].replace("**", "")
        said.append(
            f"At least as fast and as accurate as {what}: {', '.join(above)}."
            if above
            else f"Nothing else is as fast and as accurate as {what}."
        )
    return " ".join([f"- {about}", *said])


def small_table(folder: Path) -> str:
    """Return means over sets and seeds at each size, and the cells that fall behind."""
    records = _records(folder)
    if not records:
        return MISSING
    lines = [
        "| training documents | sets × seeds | `tersely train` | its encoder alone | balanced "
        "LinearSVC | against the better of the two |",
        "|---|---|---|---|---|---|",
    ]
    for count in sorted({each["count"] for each in records}):
        own = [each for each in records if each["count"] == count]
        cells = [
            " / ".join(
                f"{100 * statistics.mean(each['results'][part][metric] for each in own):.1f}"
                for metric in ("accuracy", "macro_f1")
            )
            for part in ("tersely", "encoder", "svc")
        ]
        over = 100 * statistics.mean(each["over_better"] for each in own)
        sets = sorted({each["data"] for each in own})
        lines.append(
            f"| {count:,} | {len(own)}: {', '.join(sets)} | {' | '.join(cells)} | {over:+.1f} |"
        )
    lines += ["", "Mean accuracy / mean macro F1. The single runs, accuracy:", ""]
    lines += [
        "| set, documents, seed | tersely | encoder | LinearSVC | against the better (95 %) |",
        "|---|---|---|---|---|",
    ]
    for each in sorted(records, key=lambda each: (each["count"], each["data"], each["seed"])):
        cells = [
            f"{100 * each['results'][part]['accuracy']:.1f}"
            for part in ("tersely", "encoder", "svc")
        ]
        low, high = each["interval"]
        lines.append(
            f"| {each['data']}, {each['count']:,}, {each['seed']} | {' | '.join(cells)} | "
            f"{100 * each['over_better']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |"
        )
    return "\n".join(lines)


def setfit_table(folder: Path, small: Path) -> str:
    """Return SetFit beside `tersely train` on the same documents, a line a cell."""
    records = _records(folder)
    if not records:
        return MISSING
    lines = [
        "| set, documents, seed | `tersely train` | SetFit (95 % of its accuracy) | its steps, of "
        "those of its defaults |",
        "|---|---|---|---|",
    ]
    for each in sorted(records, key=lambda each: (each["count"], each["data"], each["seed"])):
        cell = f"{each['data']}-{each['count']}-{each['seed']}.json"
        ours = json.loads((small / cell).read_text())["results"]["tersely"]
        scores = [
            f"{100 * one['accuracy']:.1f} / {100 * one['macro_f1']:.1f}" for one in (ours, each)
        ]
        low, high = each["interval"]
        lines.append(
            f"| {each['data']}, {each['count']:,}, {each['seed']} | {scores[0]} | {scores[1]} "
            f"({100 * low:.1f}–{100 * high:.1f}) | {each['settings']['steps']:,} of "
            f"{each['settings']['whole']:,} |"
        )
    return "\n".join(lines)
