"""How tersely is installed, as pages and messages say it: from a checkout, with what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tersely.errors import MissingExtraError, require

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


def test_a_missing_extra_names_the_command_that_works_in_a_checkout():
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[onnx\]'"):
        require("no_such_module", "onnx")


def test_what_make_installs_is_pinned():
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    )
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    wanted = [*PROJECT["project"]["dependencies"], *groups["dev"], *groups["demo"]]
    wanted += [each for name in ("train", "bench", "hub", "serve", "onnx") for each in extras[name]]
    names = {re.match(r"[\w-]+", each)[0].lower().replace("_", "-") for each in wanted}
    assert names - {"tersely"} <= set(pins)
