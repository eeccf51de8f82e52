"""What `accelerate` found out, in words."""

from collections.abc import Mapping
from typing import Any

from tersely.certificates import Certificates


def sentences(evidence: Mapping[str, Any]) -> list[str]:
    """Return the decision of `accelerate` and what it rests on, for a user."""
    lines = [evidence["reason"]]
    speeds = {"packed": evidence["packed_speed"], evidence["chosen"]: evidence["speed"]}
    for finalist, ways in speeds.items():
        for way, ratio in ways.items():
            low, high = ratio["interval"]
            lines.append(
                f"{finalist}: ×{ratio['median']:.2f} ({low:.2f}–{high:.2f}) the speed of {way}, "
                f"on {evidence['timed_documents']} texts"
            )
    lines.append(
        f"packed: another label than padded for {evidence['packed_differs']} of "
        f"{evidence['timed_documents']} texts"
    )
    if evidence["certificates"] is not None:
        lines += Certificates.from_dict(evidence["certificates"]).lines()
    return lines
