"""The wheel that a release would upload: what is in it, and that it works where it is installed.

The tests of the other rooms import tersely from the source tree, where a file that the wheel leaves
out, or a broken entry point, cannot be noticed.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import tersely

ROOT = Path(__file__).resolve().parents[2]
VERSION = tersely.__version__
METADATA = f"tersely-{VERSION}.dist-info"


def run(*command: object, folder: Path) -> str:
    command = [str(part) for part in command]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that was built from it and not from the tree."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory) -> Path:
    """The scripts of a fresh environment that holds the wheel, and sees what it depends on.

    The line in the .pth file adds the packages of this environment but not what their own .pth
    files add, so an editable tersely is not seen.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    places = {"base": str(folder), "platbase": str(folder)}
    scripts = Path(sysconfig.get_path("scripts", "venv", places))
    packages = Path(sysconfig.get_path("purelib", "venv", places))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python")
    run(*pip, "install", "--no-deps", "--no-index", distributions[1], folder=folder)
    return scripts


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
    assert "tersely/py.typed" in package


def test_metadata_keeps_ranges_and_names_the_extras(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        metadata = Parser().parsestr(wheel.read(f"{METADATA}/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {
        "all",
        "bench",
        "explain",
        "hub",
        "onnx",
        "ray",
        "serve",
        "syntax",
        "train",
    }
    # Pins belong in constraints.txt: in the metadata they would quarrel with everybody else's.
    assert not [line for line in metadata.get_all("Requires-Dist") if "==" in line.split(";")[0]]


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "CITATION.cff", "constraints.txt", "examples/demo/run.py"],
)
def test_source_distribution_holds(distributions, name):
    with tarfile.open(distributions[0]) as archive:
        assert f"tersely-{VERSION}/{name}" in archive.getnames()


@pytest.mark.slow
def test_installed_package_is_found_in_its_environment(installed, tmp_path):
    code = "import importlib.util; print(importlib.util.find_spec('tersely').origin)"
    place = run(installed / "python", "-c", code, folder=tmp_path).strip()
    assert Path(place).is_relative_to(installed.parent)


@pytest.mark.slow
def test_installed_command_imports_it_and_prints_its_version(installed, tmp_path):
    assert run(installed / "tersely", "--version", folder=tmp_path) == f"tersely {VERSION}\n"


def test_changelog_and_citation_name_the_version():
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
