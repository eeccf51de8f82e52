"""A report as a table for the terminal, narrow enough for 80 columns."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from tersely.bench.memory import PeakMemory
from tersely.bench.report import BenchReport, ContenderResult

__all__ = ["render", "significant"]

Cell = Callable[[ContenderResult], tuple[str | None, ...]]
"""What stands in a cell: the figure and, below it where the column has one, its ratio."""


def render(report: BenchReport) -> Table:
    """Lay a report out as a table that fits 80 columns; figures that nobody has are left out.

    Returns:
        A table for `rich.console.Console.print`.
    """
    table = Table(
        title=f"{report.documents} documents, {report.rounds} rounds in turns",
        caption=_caption(report),
        caption_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    table.add_column("", min_width=10, max_width=18)
    columns = {
        header: [cell(result) for result in report.results]
        for header, cell in _columns(report).items()
    }
    columns = {
        header: cells for header, cells in columns.items() if any(figure for figure, *_ in cells)
    }
    for header in columns:
        table.add_column(header, justify="right", no_wrap=True)
    for result, cells in zip(report.results, zip(*columns.values(), strict=True), strict=True):
        table.add_row(Text(result.name), *(_stacked(*cell) for cell in cells))
    return table


def _stacked(figure: str | None, ratio: str | None = None) -> Text:
    text = Text(figure or "–")
    return text.append(f"\n×{ratio}", style="dim") if ratio else text


def _caption(report: BenchReport) -> Text:
    machine, on_cpu = report.machine, report.matrix_on.startswith("cpu")
    return Text(
        f"×: ratio to {report.baseline}, of speed paired by round. ±: distance between the "
        "quartiles of the rounds. ms: one document alone. GMA: 10⁹ MACs. "
        f"Peak: {report.matrix_peak / 1e9:.3g} GMA/s in matrix products ({report.matrix_on}) on "
        f"{machine.get('cpu' if on_cpu else 'gpu')}, {machine.get('threads')} threads."
    )


def _columns(report: BenchReport) -> dict[str, Cell]:
    """Headers, and what stands below them."""
    metrics = dict.fromkeys(name for result in report.results for name in result.quality or {})
    # Micro F1 of single labels is their accuracy once more; the JSON has it.
    shown = [name for name in metrics if name != "micro_f1"]
    base = next(each.memory for each in report.results if each.name == report.baseline)
    return {
        **{_HEADINGS.get(name, name): _metric(name) for name in shown},
        "same\nlabel": lambda each: (_percent(each.agreement, 1),),
        "docs\n/s": lambda each: (
            significant(report.documents / each.spread.median),
            significant(each.speedup.median),
        ),
        "±": lambda each: (_percent(each.spread.relative),),
        "ms\np50": lambda each: (significant(each.latency_p50),),
        "ms\np95": lambda each: (significant(each.latency_p95),),
        "peak\nMiB": lambda each: _memory_cell(each.memory, base, "resident"),
        "GPU\nMiB": lambda each: _memory_cell(each.memory, base, "device"),
        "GMA\n/doc": lambda each: (
            significant(each.macs, 1e-9 / report.documents),
            significant(each.macs_ratio),
        ),
        "of\npeak": lambda each: (_percent(each.peak_share),),
    }


_HEADINGS = {"accuracy": "accu-\nracy", "macro_f1": "macro\nF1", "spearman": "spear-\nman"}


def _metric(name: str) -> Cell:
    return lambda each: (None if each.quality is None else f"{each.quality[name]:.3f}",)


def _memory_cell(
    memory: PeakMemory | None, base: PeakMemory | None, kind: str
) -> tuple[str | None, ...]:
    if memory is None or memory.kind != kind:
        return (None,)
    ratio = memory.peak_bytes / base.peak_bytes if base and base.kind == kind else None
    return f"{memory.peak_bytes / 2**20:.0f}", significant(ratio)


def _percent(share: float | None, digits: int = 0) -> str | None:
    return None if share is None else f"{100 * share:.{digits}f}%"


def significant(value: float | None, scale: float = 1.0) -> str | None:
    """Three significant digits, never in scientific notation; None stays None."""
    if value is None:
        return None
    value *= scale
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"
