"""What `accelerate` found out, in words and in files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tersely.accelerate.plot import draw
from tersely.certificates import Certificates
from tersely.errors import MissingExtraError, warn


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
        f"packed: another label than padded for {evidence['packed_differs']} of the "
        f"{evidence['timed_documents']} texts that were timed"
    )
    for each in evidence["by_limit"]:
        if each["limit"] != evidence["limit"]:
            lines.append(f"{each['limit']:.2%}: {_times(each['speed']['packed'], 'packed')}")
    return [*lines, evidence["more_texts"]]


def _times(ratio: Mapping[str, Any], way: str) -> str:
    low, high = ratio["interval"]
    doubt = ", not conclusive" if low <= 1 <= high else ""
    return f"{ratio['median']:.2f} times ({low:.2f}–{high:.2f}{doubt}) as fast as {way}"
