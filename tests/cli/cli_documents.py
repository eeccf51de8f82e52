"""The documents that the command line is tested on: one word decides the label."""

import csv
from collections.abc import Sequence
from pathlib import Path

WORDS = "good fine great bad poor awful film book it was a very".split()
_TELLING = [("good", "pos"), ("bad", "neg"), ("great", "pos"), ("awful", "neg")]


def rows(count: int) -> list[tuple[str, str]]:
    """Texts with their labels, of 6 to 12 words."""
    return [
        (f"it was a very {word} film" + " film" * (number % 7), label)
        for number in range(count)
        for word, label in [_TELLING[number % 4]]
    ]


def write_csv(path: Path, lines: Sequence[Sequence[str]], header=("text", "label")) -> Path:
    """Write rows under a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    return path
