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


def sentences(evidence: Mapping[str, Any]) -> list[str]:
    """Return the decision of `accelerate` and what it rests on, for a user."""
    proven = evidence["certificates"] and Certificates.from_dict(evidence["certificates"])
    certified = proven.lines(evidence["limit"]) if proven else []
    chosen, over, limit = evidence["chosen"], evidence["over_packed"], evidence["limit"]
    own = [line for line in certified if line.startswith(f"{limit:.2%}: ")]
    lines = [evidence["reason"], *own]
    if over:
        lines.append(f"cascade: {_times(over, 'packed')}")
    for name, speed in {chosen: evidence["speed"], "packed": evidence["packed_speed"]}.items():
        lines += [f"{name}: {_times(ratio, way)}" for way, ratio in speed.items()]
    lines.append(
        f"packed: another label than padded for {evidence['packed_differs']} of the "
        f"{evidence['timed_documents']} texts that were timed"
    )
    for each in evidence["by_limit"]:
        if each["limit"] != limit:
            lines.append(f"{each['limit']:.2%}: {_times(each['speed']['packed'], 'packed')}")
    lines += [line for line in certified if line not in own]
    return [*lines, evidence["more_texts"]]


def _times(ratio: Mapping[str, Any], way: str) -> str:
    low, high = ratio["interval"]
    return f"{ratio['median']:.2f} times ({low:.2f}–{high:.2f}) as fast as {way}"
