"""The plot of a survey: how many tokens each block works on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tersely.errors import OutputError, require
from tersely.explain.survey import Survey

__all__ = ["draw_blocks", "write_plot"]


def write_plot(survey: Survey, path: Path) -> Path:
    """Write the plot; the suffix says the format, such as .png or .svg.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputError: if the file cannot be written, or matplotlib has no such format.
    """
    figure = draw_blocks(survey)
    try:
        figure.savefig(path, dpi=144)
    except OSError as error:
        reason = error.strerror
    except ValueError as error:
        reason = str(error)
    else:
        return path
    raise OutputError(f"the plot {path} cannot be written: {reason}; choose another name or place")


def draw_blocks(survey: Survey) -> Any:
    """Tokens that enter each block, that are keys there, and that go on: a matplotlib figure."""
    require("matplotlib", "explain")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    names = [f"{block.layer + 1}" + "*" * (block.kind == "combine") for block in survey.blocks]
    places = range(len(names))
    series = (
        ("tokens in", "entered", "#a9c8ea"),
        ("keys", "keys", "#1f5fa8"),
        ("tokens on", "left", "#c8553d"),
    )
    for number, (label, field, colour) in enumerate(series):
        heights = [getattr(block, field) for block in survey.blocks]
        shifted = [place + 0.27 * (number - 1) for place in places]
        axes.bar(shifted, heights, width=0.27, label=label, color=colour)
    axes.axhline(survey.tokens, color="#5b6572", linestyle="--", linewidth=0.8)
    axes.set_xticks(list(places), names)
    combines = any(block.kind == "combine" for block in survey.blocks)
    axes.set_xlabel("block" + (" (*: combines)" if combines else ""))
    axes.set_ylabel("tokens of a document, mean")
    axes.set_title(f"{survey.model} on {survey.documents:,} documents (dashed: tokens read)")
    axes.legend(frameon=False, fontsize="small")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
