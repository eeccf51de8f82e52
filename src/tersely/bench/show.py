"""A report for people: a table for the terminal, and one HTML page that needs no network.

Terminal and page show the same columns; the terminal those that have a short heading, so that the
table fits 80 columns.
"""

import math
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from tersely._io import plain_table, write_page
from tersely.bench.plots import draw
from tersely.bench.report import BenchReport, ContenderResult, Spread

Figure = tuple[str | None, float | None, str]
"""What stands in a cell: text, a number to sort by, and small print; no text for no figure."""
NOTHING: Figure = (None, None, "")

Column = tuple[str, str | None, str, Callable[[ContenderResult], Figure]]
"""The page's heading, the terminal's (None: the page alone), a sentence, and the figure of each."""


def columns(report: BenchReport) -> list[Column]:
    """Return the columns in which some contender has a figure."""
    name, n = report.baseline, report.documents
    mcnemar = "difference of the accuracies in points, 95 % interval, p of McNemar's exact test"
    rate = "forward pass alone, or from text where a contender tokenises inside; median of rounds"
    macs = "10⁹ MACs per document in the encoder's blocks, padding included"
    saving = "speed-up ÷ reduction in MACs: 1 if all of the saving shows up as time saved"
    text = "tokenising and batching included on both sides"
    alone, own = "one document alone", "alone in a process"
    # Micro F1 of single labels is their accuracy once more; the JSON has it.
    found: list[Column] = [
        ("accuracy", "accu-\nracy", "with its 95 % interval", partial(_quality, "accuracy")),
        ("macro F1", "macro\nF1", "over the labels", partial(_quality, "macro_f1")),
        ("mean squared error", "mse", "0 is perfect", partial(_quality, "mse")),
        ("Pearson", "pear-\nson", "correlation", partial(_quality, "pearson")),
        ("Spearman", "spear-\nman", "correlation of ranks", partial(_quality, "spearman")),
        (f"against {name}", None, mcnemar, _comparison),
        ("same label", "same\nlabel", f"as {name}", lambda r: _share(r.agreement, 1)),
        ("calibration error", None, "over 15 bins", lambda r: _number(r.calibration_error)),
        ("documents/s", "docs\n/s", rate, lambda r: _number(n / r.spread.median, r.speedup.median)),
        ("±", "±", "distance between the quartiles", lambda r: _share(r.spread.relative)),
        ("speed-up", None, f"over {name}, 95 % interval", lambda r: _ratio(r.speedup)),
        ("with tokenising", None, text, lambda r: _ratio(r.speedup_with_tokenising)),
        ("ms p50", "ms\np50", alone, lambda r: _number(r.latency_p50)),
        ("ms p95", "ms\np95", alone, lambda r: _number(r.latency_p95)),
        ("ms p50 from text", None, alone, lambda r: _number(r.latency_from_text_p50)),
        ("peak MiB", "peak\nMiB", own, partial(_memory, report.base, "resident")),
        ("GPU MiB", "GPU\nMiB", own, partial(_memory, report.base, "device")),
        ("GMACs", "GMAC\n/doc", macs, lambda r: _number(r.macs and r.macs / n / 1e9, r.macs_ratio)),
        ("saving realised", "real-\nised", saving, lambda r: _number(r.realised_saving)),
        ("training", None, "seconds", lambda r: _number(r.training_seconds)),
    ]
    return [each for each in found if any(each[-1](r)[0] for r in report.results)]


def significant(value: float | None) -> str | None:
    """Return three significant digits, never in scientific notation; None stays None."""
    if value is None:
        return None
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def _number(value: float | None, ratio: float | None = None) -> Figure:
    return significant(value), value, "" if ratio is None else f"×{significant(ratio)}"


def _share(share: float | None, digits: int = 0) -> Figure:
    return NOTHING if share is None else (f"{100 * share:.{digits}f}%", share, "")


def _ratio(spread: Spread) -> Figure:
    low, high = map(significant, spread.interval)
    return f"×{significant(spread.median)}", spread.median, f"{low}–{high}"


def _quality(name: str, each: ContenderResult) -> Figure:
    value = (each.quality or {}).get(name)
    if value is None:
        return NOTHING
    ends = (each.quality_intervals or {}).get(name)
    return f"{value:.3f}", value, "" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def _comparison(each: ContenderResult) -> Figure:
    found = each.comparison
    if found is None:
        return NOTHING
    low, high = found.interval
    note = f"{100 * low:+.1f} to {100 * high:+.1f}, p = {found.p_value:.2g}"
    return f"{100 * found.difference:+.1f}", found.difference, note


def _memory(base: ContenderResult, kind: str, each: ContenderResult) -> Figure:
    if each.memory is None or each.memory.kind != kind:
        return NOTHING
    peak, ours = each.memory.peak_bytes, base.memory is not None and base.memory.kind == kind
    note = f"×{significant(peak / base.memory.peak_bytes)}" if ours else ""
    return f"{peak / 2**20:.0f}", peak, note


def render(report: BenchReport) -> Table:
    """Lay a report out as a table that fits 80 columns; figures that nobody has are left out."""
    device = report.machine.get("gpu") or report.machine.get("cpu")
    said = (
        f"×: ratio to {report.baseline}, of speed paired by round. ±: distance between the "
        "quartiles of the rounds. ms: one document alone. GMAC: 10⁹ MACs. Realised: speed-up "
        f"÷ reduction in MACs. {device}, {report.machine.get('threads')} threads."
    )
    doubt = f"Not conclusive whether faster or slower than {report.baseline}: "
    doubts = [doubt + ", ".join(report.inconclusive)] if report.inconclusive else []
    caption = Text("\n".join([*report.verdict(), said, *doubts]))
    title = f"{report.documents} documents, {report.rounds} rounds in turns"
    looks = {"title": title, "caption": caption, "caption_justify": "left"}
    table = plain_table(padding=(0, 1, 0, 0), **looks)
    table.add_column("", min_width=10, max_width=18, overflow="fold")
    shown = [column for column in columns(report) if column[1] is not None]
    for _, short, _, _ in shown:
        table.add_column(short, justify="right", no_wrap=True)
    for result in report.results:
        cells = [Text(result.name)]
        for *_, figure in shown:
            text, _, note = figure(result)
            cells.append(Text(text or "–"))
            if note.startswith("×"):
                cells[-1].append(f"\n{note}", style="dim")
        table.add_row(*cells)
    return table


def write_report(report: BenchReport, path: Path, pictures: Iterable[Any] = ()) -> Path:
    """Write the report as one HTML page, with `pictures`: names, and SVG files if they exist."""
    template = Path(__file__).with_name("report.html.j2")
    values = {"report": report, "columns": columns(report), "plot": draw(report)}
    # Shown as pictures, they run no script.
    found = {n: b64encode(file.read_bytes()).decode() for n, file in pictures if file.is_file()}
    return write_page(path, template, "bench", pictures=found, **values)
