"""Docstrings are found without importing what they document, and do not give their label away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo"))
from documentation import Document, documents_in, find_modules, strip_giveaways

LIBRARIES = ["numpy", "scipy", "sklearn", "transformers", "email"]

SOURCE = '''
"""What the module is for, caf\xe9 \\d."""
raise RuntimeError("this file is never imported")

def outer(a):
    """Outer text.

    a : int
        kept indentation
    """
    def inner():
        """Nobody reads this."""

class Box:
    """A box."""
    async def open(self):
        """Open the box."""
    def silent(self):
        return 1

if True:
    def guarded():
        """Under a condition."""

add_docstr(lib.abs, r"""abs(input) -> Tensor""" + r"""
Computes {x}.""".format(**common))
special = _add_docstr(_C.gamma, "The gamma function.")
add_newdoc("lib.core", "flat", ("base", """
    What it iterates over.
    """))
add_newdoc("lib.core", variable)
other_call("lib", "not a docstring")
'''

FOUND = [
    ("", "What the module is for, café \\d."),
    ("outer", "Outer text.\n\na : int\n    kept indentation"),
    ("Box", "A box."),
    ("Box.open", "Open the box."),
    ("guarded", "Under a condition."),
    ("lib.abs", "abs(input) -> Tensor\nComputes {x}."),
    ("_C.gamma", "The gamma function."),
    ("lib.core.flat.base", "What it iterates over."),
]


def test_every_docstring_is_found_in_file_order(tmp_path):
    file = tmp_path / "module.py"
    file.write_bytes(f"# coding: latin-1\n{SOURCE}".encode("latin-1"))
    assert documents_in(file, "p.module") == [
        Document("p.module", name, text) for name, text in FOUND
    ]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Put a made-up package, and a module of one file, where Python would find them."""
    for path in [
        "shelf/__init__.py",
        "shelf/wood/__init__.py",
        "shelf/wood/oak.py",
        "shelf/wood/tests/test_oak.py",
        "shelf/externals/copied.py",
        "shelf/modular_oak.py",
        "shelf/steel.py",
        "single_shelf.py",
    ]:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("prefixes", "modules", "missing"),
    [
        (["shelf"], ["shelf", "shelf.steel", "shelf.wood", "shelf.wood.oak"], []),
        (["shelf.wood", "shelf.wood.oak"], ["shelf.wood", "shelf.wood.oak"], []),
        (["shelf.steel", "single_shelf"], ["shelf.steel", "single_shelf"], []),
        (["shelf.glass"], [], []),
        (["no_such_a.b", "no_such_b", "no_such_a.c"], [], ["no_such_a", "no_such_b"]),
    ],
)
def test_the_modules_under_prefixes_are_listed(library, prefixes, modules, missing):
    found, absent = find_modules(prefixes)
    assert (list(found), absent) == (modules, missing)
    assert all(file.is_relative_to(library) for file in found.values())
    assert "shelf" not in sys.modules


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        pytest.param("sum", "sum(a) -> b", "", id="nothing-else"),
        pytest.param("sum", "sum(a,\n    b=(1, 2)) -> int\nAdd up.", "Add up.", id="two-lines"),
        pytest.param("sum", "x.sum(a)\nsum(a, b)\nAdd up.", "Add up.", id="two-signatures"),
        pytest.param("sum", "sum(a) is the sum.", "(a) is the sum.", id="sentence"),
        pytest.param("sum", "The sum, ``sum (a)``.", "The sum, `` (a)``.", id="common-word"),
        pytest.param("A.log1p", "See log1p and log1px.", "See  and log1px.", id="no-word"),
        pytest.param("KMeans.fit", "KMeans can fit; k.fit(x).", "can fit; (x).", id="class"),
        pytest.param("f", ">>> from scipy import x\nNow x.", "Now x.", id="from"),
        pytest.param("f", "    >>> import numpy as np\nNow.", "Now.", id="import"),
        pytest.param("f", ">>> from a.b import (c,\n...   d)\n>>> c", ">>> c", id="brackets"),
        pytest.param("f", "People import goods from abroad.", None, id="import-in-prose"),
        pytest.param("f", "A scipy.stats.norm, np.abs(x).", "A norm, abs(x).", id="dotted"),
        pytest.param("f", "A part.of.module.g, of.g here.", "A g, g here.", id="own-module"),
        pytest.param("f", "A :class:`~sklearn.x.Y` and :ref:`it <a.b>`.", "A Y and it.", id="role"),
        pytest.param("f", "A NumPy array, a PyTorch one.", "A array, a one.", id="prose"),
        pytest.param("f", "An email to the transformers.", None, id="words"),
        pytest.param("f", "Some a.b.c and 1.5 or e.g. this.", None, id="foreign"),
        pytest.param("f", ".. currentmodule:: scipy.x\n{input}\n%(d)s\nText.", "Text.", id="rst"),
        pytest.param("f", "a\x00b \ud800 c", "a b   c", id="control"),
    ],
)
def test_what_gives_a_label_away_is_stripped(name, text, left):
    expected = text if left is None else left
    assert strip_giveaways(Document("part.of.module", name, text), LIBRARIES) == expected


@given(st.text(), st.sampled_from(["", "f", "A.b", "log1p", "C.__init__"]))
def test_what_is_left_can_be_written(text, name):
    left = strip_giveaways(Document("scipy.stats", name, text), LIBRARIES)
    assert left == left.strip()
    left.encode("utf-8")
