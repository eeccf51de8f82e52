"""Plots as SVG, by matplotlib: accuracy against speed, and where a classifier errs."""

import io
import re
from typing import Any

import numpy as np

from tersely.bench.report import BenchReport
from tersely.errors import require
from tersely.text.metrics import ClassReport

_READABLE = 25  # classes of which a matrix has room for counts


def draw(report: BenchReport) -> str | None:
    """Draw accuracy against throughput as SVG; None where nobody has an accuracy."""
    canvas, ticker = (require(f"matplotlib.{name}", "bench") for name in ("figure", "ticker"))
    figure = canvas.Figure(figsize=(5.2, 4.8), layout="constrained")  # readable on a phone
    axes = figure.subplots()
    points = []
    for place, each in enumerate(report.results):
        if "accuracy" not in (each.quality or {}):
            continue
        accuracy = 100 * each.quality["accuracy"]
        points.append((report.documents / each.spread.median, accuracy))
        low, high = (100 * end for end in each.quality_intervals["accuracy"])
        look = {"color": f"C{place % 10}", "marker": "osD^vPX*<"[place % 9], "ls": "none"}
        bars = [[accuracy - low], [high - accuracy]]
        axes.errorbar(*points[-1], yerr=bars, label=each.name, **look)
    if not points:
        return None
    # The points to the right of which there is none as high.
    front = sorted(p for p in points if not any(q > p and q[1] >= p[1] for q in points))
    axes.plot(*zip(*front, strict=True), color="#9aa3af", linewidth=1, linestyle="--", zorder=0)
    axes.set(xscale="log", xlabel="documents per second, log scale", ylabel="accuracy, %")
    axes.xaxis.set_major_formatter(ticker.LogFormatter())  # 10, not 10¹
    axes.xaxis.set_minor_formatter(ticker.LogFormatter())
    axes.grid(True, color="#d8dce2", linewidth=0.6)
    # Below the plot, where names never hide a point.
    columns = 1 if any(len(each.name) > 30 for each in report.results) else 2
    figure.legend(loc="outside lower center", frameon=False, ncols=columns, fontsize="small")
    return to_svg(figure)


def to_svg(figure: Any) -> str:
    """Return a figure of matplotlib as SVG that is as wide as where it stands."""
    buffer = io.StringIO()
    # Text stays text; ids get the same salt, so that the same report is the same file.
    how = {"svg.fonttype": "none", "svg.hashsalt": "tersely"}
    with require("matplotlib", "bench").rc_context(how):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return re.sub(r' (width|height)="[\d.]+pt"', "", svg[svg.index("<svg") :], count=2)


def draw_classes(report: ClassReport) -> dict[str, str]:
    """Draw where a classifier errs, as SVG by the plot's name.

    `coverage` is the error among the surest documents; `confusions`, where single labels were
    confused, scikit-learn's confusion matrix.

    Raises:
        MissingExtraError: if matplotlib or scikit-learn is not installed.
    """
    canvas = require("matplotlib.figure", "bench")
    figure = canvas.Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    answered, errors = (
        [100 * row[key] for row in report.coverage] for key in ("coverage", "error")
    )
    axes.plot(answered, errors, marker="o")
    axes.set(xlabel="documents answered, most confident first, %", ylabel="error rate, %")
    axes.set_ylim(bottom=0)
    axes.grid(True, color="#d8dce2", linewidth=0.6)
    plots = {"coverage": to_svg(figure)}
    if not report.confusions:  # of several labels, or nothing was wrong
        return plots
    places = {name: place for place, name in enumerate(report.classes)}
    rows = report.classes.values()
    counts = np.diag([round(row["recall"] * row["support"]) for row in rows])
    for wanted, predicted, times in report.confusions:
        if wanted in places:
            counts[places[wanted], places[predicted]] = times
    display = require("sklearn.metrics", "train").ConfusionMatrixDisplay
    show = display(counts, display_labels=[*places])
    side = 2.4 + 0.34 * len(places)
    figure = canvas.Figure(figsize=(side, side), layout="constrained")
    look = {"cmap": "Blues", "colorbar": False, "xticks_rotation": "vertical"}
    show.plot(ax=figure.subplots(), include_values=len(places) <= _READABLE, **look)
    return plots | {"confusions": to_svg(figure)}
