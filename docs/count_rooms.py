"""Count the house: files and lines by room, for the table in architecture.md, and its limits.

    python docs/count_rooms.py           # writes the table
    python docs/count_rooms.py --check   # fails where a limit is broken, or the table is off

Lines are what `wc -l` counts: docstrings, comments and blank lines are read too.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "tersely"
BEGIN, END = "<!-- rooms -->\n", "<!-- /rooms -->"

CONTRIB = "methods/contrib"  # counts nowhere, until it is measured
# Rooms that came after the house was put in order, at 18,952 lines and 11,830 of tests; what came
# since stands in its rooms too, so that only the ceiling holds for lines.
ADDED = ("cascade", "certificates", "linear", "search")
CEILING = 22_000
MOST_FILES = 130  # of the house
LONGEST_FILE = 500
_OFF = 0.1  # the table may lag behind by this share, so that not every commit has to touch it


def count(folder: Path) -> dict[str, list[int]]:
    """Return the lines of every Python file below a folder, by its first room."""
    rooms: dict[str, list[int]] = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        room = "methods/contrib" if parts[:2] == ("methods", "contrib") else parts[0]
        room = room if len(parts) > 1 else "top level"
        rooms.setdefault(room, []).append(file.read_text("utf-8").count("\n"))
    return dict(sorted(rooms.items(), key=lambda item: (item[0] == "top level", item[0])))


def table(rooms: dict[str, list[int]], tests: int) -> str:
    """Lay the counts out as Markdown."""
    lines = ["| room | files | lines | longest file |", "|---|---|---|---|"]
    added = {room: rooms[room] for room in ADDED if room in rooms}
    every = {room: files for room, files in rooms.items() if room != CONTRIB}
    house = {room: files for room, files in every.items() if room not in added}
    rows = {f"`{room}`": files for room, files in rooms.items()}
    rows |= {"the house": sum(house.values(), []), "with what came since": sum(every.values(), [])}
    for name, files in rows.items():
        lines.append(f"| {name} | {len(files)} | {sum(files):,} | {max(files)} |")
    return "\n".join([*lines, f"| tests of the house | | {tests:,} | |", ""])


def broken(rooms: dict[str, list[int]]) -> list[str]:
    """Return a sentence for every limit that does not hold."""
    every = {room: files for room, files in rooms.items() if room != CONTRIB}
    house = [n for room, files in every.items() if room not in ADDED for n in files]
    files = sum(every.values(), [])
    found = [
        ("lines of src", sum(files), CEILING),
        ("files of the house", len(house), MOST_FILES),
        ("lines of the longest file", max(files), LONGEST_FILE),
    ]
    return [f"{what}: {got:,}, at most {most:,}" for what, got, most in found if got > most]


def stale(written: str, rooms: dict[str, list[int]]) -> list[str]:
    """Return a sentence for every room of which the page's table is far off."""
    rows = [row.split("|")[1:4] for row in written.splitlines()[2:] if row.startswith("| `")]
    told = {name.strip(" `"): int(lines.replace(",", "")) for name, _, lines in rows}
    wrong = [room for room in rooms if room not in told] + [r for r in told if r not in rooms]
    wrong += [
        room
        for room, files in rooms.items()
        if room in told and abs(told[room] - sum(files)) > max(50, _OFF * sum(files))
    ]
    return [f"{room}: the table in {PAGE.name} is out of date" for room in wrong]


def main() -> None:
    """Write the table, or check."""
    rooms = count(SOURCE)
    tested = count(ROOT / "tests")
    tests = sum(sum(files) for room, files in tested.items() if room not in ADDED)
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    written, after = rest.split(END)
    if "--check" in sys.argv[1:]:
        troubles = broken(rooms) + stale(written, rooms)
        sys.exit("\n".join(troubles) if troubles else 0)
    PAGE.write_text(before + BEGIN + table(rooms, tests) + END + after, "utf-8")


if __name__ == "__main__":
    main()
