"""A report as one HTML file that needs no network, and its plots as PNG files.

The template lies beside this file. Plots are inline SVG, the table sorts with a few lines of inline
script, and without script everything is still there.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from tersely.bench.plots import draw
from tersely.bench.report import BenchReport, ContenderResult
from tersely.errors import OutputError, require

__all__ = ["to_html", "write_plots", "write_report"]

TEMPLATE = Path(__file__).with_name("report.html.j2")

TITLES = {
    "accuracy-against-throughput": (
        "Accuracy against throughput",
        "Up and to the right is better. The dashed line joins the contenders that no other beats "
        "in both. Bars: 95 % interval of the accuracy; quartiles of the rounds.",
    ),
    "speedup-against-saving": (
        "How much of the saving reached the clock",
        "On the diagonal a contender is as many times faster as it computes less. Below it, part "
        "of the saving is lost around the matrix products; above it, something else than "
        "MACs was saved. Padding counts as computed. Bars: quartiles of the rounds.",
    ),
    "latency-against-length": (
        "One document alone",
        "Forward pass of a document alone, medians of documents of like length.",
    ),
    "memory": (
        "Memory",
        "Peak resident memory of a fresh process for each contender, Python and the libraries "
        "included.",
    ),
    "tokens-alive": (
        "Tokens alive",
        "Tokens that go through each block's feed-forward, as a share of the tokens read.",
    ),
}


def write_report(report: BenchReport, path: Path) -> Path:
    """Write the report as HTML.

    Raises:
        MissingExtraError: if Jinja2 or matplotlib are not installed.
        OutputError: if the file cannot be written.
    """
    text = to_html(report)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the report {path} cannot be written: {error.strerror}; choose another place"
        ) from None
    return path


def write_plots(report: BenchReport, folder: Path) -> list[Path]:
    """Write every plot as a PNG file.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputError: if the folder cannot be written.
    """
    figures = draw(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png", dpi=144)
            paths.append(folder / f"{name}.png")
    except OSError as error:
        raise OutputError(
            f"the plots cannot be written to {folder}: {error.strerror}; choose another place"
        ) from None
    return paths


def to_html(report: BenchReport) -> str:
    """The report as one HTML page."""
    jinja = require("jinja2", "bench")
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    plots = [
        {"name": name, "title": TITLES[name][0], "note": TITLES[name][1], "svg": _svg(figure)}
        for name, figure in draw(report).items()
    ]
    columns = [column for column in _columns(report) if any(c["text"] for c in column["cells"])]
    return template.render(
        report=report,
        machine=report.machine,
        columns=columns,
        plots=plots,
        padding=_padding(report),
        steady=not report.unsteady,
    )


def _svg(figure: Any) -> str:
    """The figure as an element that takes the width that there is."""
    import matplotlib

    buffer = io.StringIO()
    # Text stays text; ids get the same salt, so that the same report is the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tersely"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def _cell(text: str | None, value: float | None = None, note: str = "") -> dict[str, Any]:
    return {"text": text or "", "value": value, "note": note}


def _columns(report: BenchReport) -> list[dict[str, Any]]:
    """Headers with a sentence each, and a cell for every contender: text, sort key, small print."""
    results, documents = report.results, report.documents
    columns: list[dict[str, Any]] = []

    def add(head: str, about: str, cell: Any) -> None:
        columns.append({"head": head, "about": about, "cells": [cell(each) for each in results]})

    # Micro F1 of single labels is their accuracy once more; the JSON has it.
    micro = any((each.quality or {}).get("micro_f1") != (each.quality or {}).get("accuracy")
                for each in results)  # fmt: skip
    for name, head in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("micro_f1", "micro F1"),
                       ("mse", "mean squared error"), ("spearman", "Spearman")):  # fmt: skip
        if name == "micro_f1" and not micro:
            continue
        add(head, "with its 95 % bootstrap interval", lambda each, name=name: _quality(each, name))
    add(
        f"against {report.baseline}",
        "difference of the accuracies in points, its 95 % interval, and p of McNemar's exact test",
        _comparison,
    )
    add("same label", f"as {report.baseline}", lambda each: _share(each.agreement, 1))
    add(
        "calibration error",
        "expected, 15 bins; 0 is perfect",
        lambda each: _number(each.calibration_error, "{:.3f}"),
    )
    add(
        "documents/s",
        "forward pass alone, unless it says otherwise; median of the rounds, ± quartile distance",
        lambda each: _throughput(each, documents),
    )
    add(
        "times as fast",
        f"as {report.baseline}, paired by round, 95 % bootstrap interval of the median",
        lambda each: _ratio(each.speedup),
    )
    add(
        "with tokenising",
        "times as fast, tokenising and batching included on both sides",
        lambda each: _ratio(each.speedup_with_tokenising),
    )
    add("ms alone, p50", "one document, forward pass", lambda each: _number(each.latency_p50))
    add("p95", "one document, forward pass", lambda each: _number(each.latency_p95))
    add(
        "from text, p50",
        "milliseconds of one document, tokenising included",
        lambda each: _number(each.latency_from_text_p50),
    )
    for kind, head, about in (
        ("resident", "peak MiB", "resident memory, alone in a process"),
        ("device", "GPU peak MiB", "memory of the GPU, alone in a process"),
    ):
        add(head, about, lambda each, kind=kind: _memory(each, kind))
    add(
        "MACs",
        "10⁹ a document, padding included, in the encoder's blocks; ratio below",
        lambda each: _macs(each, documents),
    )
    add(
        "of matrix peak",
        f"share of the fastest matrix product ({report.matrix_on}), where it multiplies so too",
        lambda each: _share(each.peak_share),
    )
    add(
        "joules",
        "a document, processor packages",
        lambda each: _number(each.joules and each.joules / documents),
    )
    add("training", "seconds", lambda each: _number(each.training_seconds, "{:.0f}"))
    return columns


def _quality(each: ContenderResult, name: str) -> dict[str, Any]:
    value = (each.quality or {}).get(name)
    if value is None:
        return _cell(None)
    if name not in (each.quality_intervals or {}):
        return _cell(f"{value:.3f}", value)
    low, high = each.quality_intervals[name]
    note = f"{100 * low:.1f}–{100 * high:.1f}"
    for seed, quality in (each.seeds or {}).items():
        note += f"; seed {seed}: {100 * quality[name]:.1f}"
    return _cell(f"{100 * value:.1f} %", value, note)


def _memory(each: ContenderResult, kind: str) -> dict[str, Any]:
    if each.memory is None or each.memory.kind != kind:
        return _cell(None)
    return _number(each.memory.peak_bytes / 2**20, "{:.0f}")


def _comparison(each: ContenderResult) -> dict[str, Any]:
    found = each.comparison
    if found is None:
        return _cell(None)
    low, high = found.interval
    note = f"{100 * low:+.1f} to {100 * high:+.1f}, p = {found.p_value:.2g}"
    return _cell(f"{100 * found.difference:+.1f}", found.difference, note)


def _throughput(each: ContenderResult, documents: int) -> dict[str, Any]:
    speed = documents / each.spread.median
    note = f"± {each.spread.relative:.0%}"
    if each.tokenising is None:
        note += ", from text"
    return _cell(_digits(speed), speed, note)


def _ratio(spread: Any) -> dict[str, Any]:
    if spread is None:
        return _cell(None)
    low, high = spread.interval or (spread.minimum, spread.maximum)
    return _cell(f"×{_digits(spread.median)}", spread.median, f"{_digits(low)}–{_digits(high)}")


def _macs(each: ContenderResult, documents: int) -> dict[str, Any]:
    if each.macs is None:
        return _cell(None)
    value = each.macs / documents / 1e9
    ratio = each.macs_ratio
    return _cell(_digits(value), value, "" if ratio is None else f"×{_digits(ratio)}")


def _number(value: float | None, form: str | None = None) -> dict[str, Any]:
    if value is None:
        return _cell(None)
    return _cell(_digits(value) if form is None else form.format(value), value)


def _share(value: float | None, digits: int = 0) -> dict[str, Any]:
    return _cell(None if value is None else f"{100 * value:.{digits}f} %", value)


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    from tersely.bench.table import significant

    return significant(value) or ""


def _padding(report: BenchReport) -> dict[str, float] | None:
    """The least and the most tokens that contenders with tokens read."""
    tokens = [each.tokens for each in report.results if each.tokens]
    return {"least": min(tokens), "most": max(tokens)} if tokens else None
