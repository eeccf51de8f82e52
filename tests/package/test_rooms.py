"""The house holds its limits, and data flows one way through its rooms."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tersely"
SCRIPT = ROOT / "docs" / "count_rooms.py"

# From the bottom to the top: a room may import those of the lines before its own.
ORDER = """
errors
_io defaults
ragged certificates
attention
backbones
reduction
methods
text
linear cascade
modeling
training
export
card
trained
estimator search
classifier
serve score explain bench
accelerate
cli
__main__
""".strip().splitlines()
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms.split()}


def imported(tree: ast.Module) -> list[str]:
    """The rooms that a file imports, inside functions too; not those for annotations alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "tersely":
            found += [f"tersely.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return [name.split(".")[1] for name in found if name.startswith("tersely.")]


def test_no_room_imports_one_above_it():
    upwards, rooms = [], set()
    for file in SOURCE.rglob("*.py"):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        if parts == ("__init__",):  # hands out names of all rooms when they are asked for
            continue
        rooms.add(parts[0])
        for room in imported(ast.parse(file.read_text("utf-8"))):
            if room.startswith("__version"):
                continue
            if room != parts[0] and FLOORS.get(room, 99) >= FLOORS.get(parts[0], -1):
                upwards.append(f"{'/'.join(parts)} imports {room}")
    assert upwards == []
    assert rooms == set(FLOORS), "a room has come or gone: say in ORDER where it stands"


def test_files_that_the_page_names_exist():
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`([\w/]+\.(?:py|j2))`", page))
    assert len(named) > 30
    assert [name for name in named if not any((at / name).is_file() for at in (SOURCE, ROOT))] == []


def test_the_house_holds_its_limits_and_its_table_is_true():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
