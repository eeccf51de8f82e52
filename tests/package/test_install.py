"""How tersely is installed: from a checkout, as pages and messages say, and from its wheel.

The tests of the other rooms import tersely from the source tree, where a file that the wheel leaves
out, or a broken entry point, cannot be noticed.
"""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import tersely

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = set(PROJECT["project"]["optional-dependencies"])
TOLD = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("src/**/*.py")]
TOLD += [*ROOT.glob("src/**/*.j2"), *ROOT.glob("examples/**/*.py"), *ROOT.glob("benchmarks/*.py")]


def test_nobody_is_told_to_install_a_name_that_no_index_holds_for_us():
    """The name that the project had before belonged to somebody else's package."""
    named = re.compile(r"pip install[^\n]*?[ '\"](?:tersely|laconic)\b")
    assert [str(file) for file in TOLD if named.search(file.read_text("utf-8"))] == []


def test_extras_that_are_named_exist():
    asked = re.compile(r"pip install (?:-e )?'\.\[([\w,]+)\]'|require\([^()]*, \"(\w+)\"\)")
    found = [match for file in TOLD for match in asked.findall(file.read_text("utf-8"))]
    assert len(found) > 10
    assert {name for pair in found for name in ",".join(pair).split(",") if name} <= EXTRAS


def test_what_make_installs_is_pinned():
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    )
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    wanted = [*PROJECT["project"]["dependencies"], *groups["dev"], *groups["demo"]]
    wanted += [
        each for name in ("train", "tune", "bench", "hub", "serve", "onnx") for each in extras[name]
    ]
    names = {re.match(r"[\w-]+", each)[0].lower().replace("_", "-") for each in wanted}
    assert names - {"tersely"} <= set(pins)


# ---- the wheel -----------------------------------------------------------------------------------

VERSION = tersely.__version__
METADATA = f"tersely-{VERSION}.dist-info"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that was built from it and not from the tree."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(distributions):
    source = ROOT / "src"
    package = {
        path.relative_to(source).as_posix()
        for path in (source / "tersely").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    with zipfile.ZipFile(distributions[1]) as wheel:
        assert set(wheel.namelist()) == package | {f"{METADATA}/{name}" for name in about}
        scripts = wheel.read(f"{METADATA}/entry_points.txt").decode().split("\n")
    assert "tersely/py.typed" in package
    name, _, place = scripts[1].partition(" = ")
    assert scripts[0] == "[console_scripts]" and name == "tersely"
    assert callable(EntryPoint(name, place, "console_scripts").load())


def test_metadata_keeps_ranges_and_names_the_extras(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        metadata = Parser().parsestr(wheel.read(f"{METADATA}/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {*metadata.get_all("Provides-Extra")} == EXTRAS
    # Pins belong in constraints.txt: in the metadata they would quarrel with everybody else's.
    assert not [line for line in metadata.get_all("Requires-Dist") if "==" in line.split(";")[0]]


def test_source_distribution_holds_what_is_beside_the_package(distributions):
    beside = ("README.md", "CITATION.cff", "constraints.txt", "examples/demo/run.py")
    with tarfile.open(distributions[0]) as archive:
        assert {f"tersely-{VERSION}/{name}" for name in beside} <= {*archive.getnames()}


def test_changelog_and_citation_name_the_version():
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
