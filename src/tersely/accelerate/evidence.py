"""What `accelerate` found out, in words, in files and as a picture."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tersely.bench import to_svg
from tersely.certificates import Certificates
from tersely.errors import MissingExtraError, require, warn


def write_evidence(evidence: Mapping[str, Any], folder: Path) -> None:
    """Write `evidence.json`, and `speed.svg` where a limit is certified, into a directory."""
    (folder / "evidence.json").write_text(json.dumps(evidence, indent=1) + "\n", "utf-8")
    picture = folder / "speed.svg"
    picture.unlink(missing_ok=True)  # of an earlier run
    try:
        drawn = draw(evidence)
    except MissingExtraError as error:
        warn(f"{picture} is not drawn: {error}")
        return
    if drawn is not None:
        picture.write_text(drawn, "utf-8")


def verdict(evidence: Mapping[str, Any]) -> str:
    """Say what is best here, by how much with 95 % intervals, and what it costs in labels."""
    speed, cost = evidence["speed"], ""
    if evidence["chosen"] != "packed":
        speed = {"packed": evidence["over_packed"]} | speed
        found = Certificates.from_dict(evidence["certificates"]).at(evidence["limit"])
        cost = f", at a {evidence['criterion']} of at most {found.bound:.2%}"
    times = ", ".join(_times(ratio, way) for way, ratio in speed.items())
    return f"{evidence['reason']}; {evidence['chosen']} is {times}{cost}."


def sentences(evidence: Mapping[str, Any]) -> list[str]:
    """Return the verdict of `accelerate` and what it rests on, for a user."""
    proven = evidence["certificates"] and Certificates.from_dict(evidence["certificates"])
    lines = [verdict(evidence), *(proven.lines(evidence["limit"]) if proven else ())]
    lines += [f"packed: {_times(ratio, way)}" for way, ratio in evidence["packed_speed"].items()]
    lines.append(
        f"packed: {evidence['packed_differs']} of the {evidence['timed_documents']} timed texts "
        "get a different label than padded"
    )
    for each in evidence["by_limit"]:
        if each["limit"] != evidence["limit"]:
            lines.append(f"{each['limit']:.2%}: {_times(each['speed']['packed'], 'packed')}")
    return [*lines, evidence["more_texts"]]


def _times(ratio: Mapping[str, Any], way: str) -> str:
    low, high = ratio["interval"]
    doubt = ", not conclusive" if low <= 1 <= high else ""
    return f"{ratio['median']:.2f} times ({low:.2f}–{high:.2f}{doubt}) as fast as {way}"


def draw(evidence: Mapping[str, Any]) -> str | None:
    """Draw speed against certified limit, with the stages' shares, as SVG.

    Alt text says the same in words. None where no limit is certified.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    limits, stages = evidence["by_limit"], evidence["stages"]
    if not limits:
        return None
    canvas = require("matplotlib.figure", "bench")
    names = [f"{100 * each['limit']:g} %" for each in limits]
    ratios = [each["speed"]["packed"] for each in limits]
    middles = [ratio["median"] for ratio in ratios]
    bars = [[m - r["interval"][0] for m, r in zip(middles, ratios, strict=True)]]
    bars.append([r["interval"][1] - m for m, r in zip(middles, ratios, strict=True)])
    figure = canvas.Figure(figsize=(6.4, 5.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.errorbar(names, middles, yerr=bars, marker="o", capsize=3)
    above.axhline(1, color="#9aa3af", linewidth=1, linestyle="--")
    for number, middle in enumerate(middles):  # a bold limit dwarfs the others' heights
        place = {"xytext": (-6, 8), "textcoords": "offset points", "ha": "right"}
        above.annotate(f"×{middle:.1f}", (number, middle), **place)
    top = 1.2 * max(ratio["interval"][1] for ratio in ratios)
    above.set(ylabel="times as fast as packed (95 %)", ylim=(0, top))
    above.grid(True, axis="y", color="#d8dce2", linewidth=0.6)
    bottom = [0.0] * len(limits)
    for number, stage in enumerate(stages):
        shares = [100 * each["shares"][number] for each in limits]
        below.bar(names, shares, bottom=bottom, width=0.6, label=stage)
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    below.set(
        ylabel="texts answered by, %", xlabel=f"certified limit on the {evidence['criterion']}"
    )
    figure.legend(loc="outside lower center", frameon=False, ncols=3, fontsize="small")
    said = "; ".join(
        f"at {name} {middle:.1f} times packed, "
        + ", ".join(f"{s} {100 * v:.0f} %" for s, v in zip(stages, each["shares"], strict=True))
        for name, middle, each in zip(names, middles, limits, strict=True)
    )
    alt = html.escape(f"Speed and shares of the stages by certified limit: {said}")
    return to_svg(figure).replace(">", f' role="img"><title>{alt}</title>', 1) + "\n"
