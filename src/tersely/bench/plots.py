"""The plots of a report, each a function from the report to a figure, or to None without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tersely.bench.report import BenchReport, ContenderResult
from tersely.errors import require

__all__ = ["PLOTS", "draw"]

_COLOURS = "#1f5fa8 #c8553d #3a8f5c #8a5fb0 #b8860b #2a9d9d #d1477a #6b7280 #7a4b2a #4b6fd1".split()
_MARKERS = "osD^vPX*<>"
_SIZE = (6.4, 4.0)
_GRID = {"color": "#d8dce2", "linewidth": 0.6}


def draw(report: BenchReport) -> dict[str, Any]:
    """All plots that the report has data for: matplotlib figures by name.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    drawn = {name: plot(report) for name, plot in PLOTS.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _figure(across: str, up: str) -> tuple[Any, Any]:
    require("matplotlib", "bench")
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(True, **_GRID)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _look(report: BenchReport, result: ContenderResult) -> dict[str, str]:
    """Colour and marker of a contender, the same in every plot."""
    place = [each.name for each in report.results].index(result.name)
    turn = place // len(_COLOURS)
    marker = _MARKERS[(place + turn) % len(_MARKERS)]
    return {"color": _COLOURS[place % len(_COLOURS)], "marker": marker}


def _legend(figure: Any, axes: Any) -> None:
    """Names below the plot, where they never hide a point; the figure grows by their rows."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) > 20 else 3
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.19 * -(-len(handles) // columns))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
    )


def accuracy_against_throughput(report: BenchReport) -> Any:
    """Accuracy over documents a second, and the Pareto front: what nothing beats in both."""
    judged = [each for each in report.results if each.quality and "accuracy" in each.quality]
    if not judged:
        return None
    figure, axes = _figure("documents a second (forward pass, log scale)", "accuracy, %")
    points = []
    for each in judged:
        speed = report.documents / each.spread.median
        accuracy = 100 * each.quality["accuracy"]
        points.append((speed, accuracy))
        low, high = (each.quality_intervals or {}).get("accuracy", (math.nan, math.nan))
        fastest, slowest = report.documents / each.spread.lower_quartile, report.documents
        axes.errorbar(
            speed,
            accuracy,
            xerr=[
                [max(0.0, speed - slowest / each.spread.upper_quartile)],
                [max(0.0, fastest - speed)],
            ],
            yerr=[[max(0.0, accuracy - 100 * low)], [max(0.0, 100 * high - accuracy)]],
            linestyle="none",
            markersize=7,
            elinewidth=0.8,
            label=each.name,
            **_look(report, each),
        )
    axes.set_xscale("log")
    front = pareto_front(points)
    axes.plot(*zip(*front, strict=True), color="#9aa3af", linewidth=1, linestyle="--", zorder=0)
    _plain_ticks(axes.xaxis)
    _legend(figure, axes)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least equal to in both, and better in one, left to right.

    Example:
        >>> pareto_front([(1, 9), (2, 8), (2, 7), (3, 8)])
        [(1, 9), (3, 8)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (-point[0], -point[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


def speedup_against_saving(report: BenchReport) -> Any:
    """Speed-up over the reduction in MACs; on the diagonal all of it reached the clock."""
    counted = [each for each in report.results if each.macs_ratio]
    if len(counted) < 2:
        return None
    figure, axes = _figure(
        f"MACs of {report.baseline}, over the contender's", "times as fast, measured"
    )
    for each in counted:
        low, high = each.speedup.lower_quartile, each.speedup.upper_quartile
        middle = each.speedup.median
        axes.errorbar(
            1 / each.macs_ratio,
            middle,
            yerr=[[middle - low], [high - middle]],
            linestyle="none",
            markersize=7,
            elinewidth=0.8,
            label=each.name,
            **_look(report, each),
        )
    ends = [*axes.get_xlim(), *axes.get_ylim()]
    least, most = max(min(ends), 1e-3), max(ends)
    axes.plot([least, most], [least, most], color="#9aa3af", linewidth=1, zorder=0)
    axes.annotate(
        "all of the saving",
        (most, most),
        xytext=(0, -22),
        textcoords="offset points",
        ha="right",
        fontsize="small",
        color="#6b7280",
    )
    _legend(figure, axes)
    return figure


def latency_against_length(report: BenchReport) -> Any:
    """Milliseconds of a document alone, over its words: medians of documents of like length."""
    found = [each for each in report.results if len(each.latency) >= 4]
    if not found:
        return None
    figure, axes = _figure("words of the document (log scale)", "ms, alone (log scale)")
    for each in found:
        words, milliseconds = np.array(sorted(each.latency)).T
        groups = np.array_split(np.arange(len(words)), min(6, len(words) // 2))
        axes.plot(
            [max(1.0, float(np.median(words[group]))) for group in groups],
            [float(np.median(milliseconds[group])) for group in groups],
            linewidth=1.2,
            markersize=5,
            label=each.name,
            **_look(report, each),
        )
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log")
        _plain_ticks(axis)
    _legend(figure, axes)
    return figure


def memory(report: BenchReport) -> Any:
    """Peak memory of each contender alone in a process, and what of it was there before."""
    found = [each for each in report.results if each.memory is not None]
    if not found:
        return None
    figure, axes = _figure("MiB", "")
    both = len({each.memory.kind for each in found}) > 1
    kinds = {"resident": " (resident)", "device": " (GPU)"} if both else {}
    names = [each.name + kinds.get(each.memory.kind, "") for each in found][::-1]
    peaks = [each.memory.peak_bytes / 2**20 for each in found][::-1]
    loaded = [each.memory.loaded_bytes / 2**20 for each in found][::-1]
    axes.barh(names, peaks, color="#c8d6e8", height=0.65, label="peak while running")
    axes.barh(names, loaded, color="#1f5fa8", height=0.35, label="loaded, before running")
    axes.grid(False, axis="y")
    figure.set_size_inches(_SIZE[0], 1.2 + 0.34 * len(found))
    _legend(figure, axes)
    return figure


def tokens_alive(report: BenchReport) -> Any:
    """Tokens that go through each block's feed-forward, as a share of those read."""
    found = [each for each in report.results if each.tokens_by_block and each.tokens]
    if not found:
        return None
    figure, axes = _figure("block", "tokens alive, % of those read")
    for each in found:
        shares = [100 * alive / each.tokens for alive in each.tokens_by_block]
        axes.plot(
            range(len(shares)),
            shares,
            drawstyle="steps-mid",
            linewidth=1.4,
            markersize=5,
            label=each.name,
            **_look(report, each),
        )
    axes.set_ylim(0, None)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, axes)
    return figure


def _plain_ticks(axis: Any) -> None:
    """Numbers as people write them, at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


PLOTS: dict[str, Callable[[BenchReport], Any]] = {
    "accuracy-against-throughput": accuracy_against_throughput,
    "speedup-against-saving": speedup_against_saving,
    "latency-against-length": latency_against_length,
    "memory": memory,
    "tokens-alive": tokens_alive,
}
"""Plots by the name of their file."""
