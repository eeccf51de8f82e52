"""Docstrings are found without importing what they document, and do not give their label away."""

from __future__ import annotations

import sys

import pytest

from documentation import Document, documents_in, find_modules, strip_giveaways

SOURCE = '''# coding: latin-1
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
    if True:
        async def open(self):
            """Open the box."""
add_docstr(lib.abs, r"""abs(input) -> Tensor""" + r"""
Computes {x}.""".format(**common))
add_newdoc("lib.core", "flat", ("base", """
    What it iterates over.
    """))
add_newdoc("lib.core", variable)
'''

FOUND = [
    ("", "What the module is for, café \\d."),
    ("outer", "Outer text.\n\na : int\n    kept indentation"),
    ("Box.open", "Open the box."),
    ("lib.abs", "abs(input) -> Tensor\nComputes {x}."),
    ("lib.core.flat.base", "What it iterates over."),
]


def test_every_docstring_is_found_in_file_order(tmp_path):
    file = tmp_path / "module.py"
    file.write_bytes(SOURCE.encode("latin-1"))
    assert documents_in(file, "m") == [Document("m", name, text) for name, text in FOUND]


def test_the_modules_under_prefixes_are_listed_and_not_imported(tmp_path, monkeypatch):
    kept = ["shelf/__init__", "shelf/steel", "shelf/wood/__init__", "shelf/wood/oak", "single"]
    for name in [*kept, "shelf/wood/tests/test_oak", "shelf/externals/copied", "shelf/modular_oak"]:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found, absent = find_modules(["shelf.wood", "shelf", "single", "shelf.glass", "no_such.a"])
    assert list(found) == ["shelf", "shelf.steel", "shelf.wood", "shelf.wood.oak", "single"]
    assert absent == ["no_such"] and "shelf" not in sys.modules


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        pytest.param("sum", "sum(a,\n    b=(1, 2)) -> int\nAdd up.", "Add up.", id="signature"),
        pytest.param("A.log1p", "See log1p and log1px.", "See  and log1px.", id="no-word"),
        pytest.param("f", ">>> from a.b import (c,\n...   d)\n>>> c", ">>> c", id="import"),
        pytest.param("f", "A scipy.stats.norm, np.abs(x).", "A norm, abs(x).", id="dotted"),
        pytest.param("f", "An email to the transformers, e.g. a.b.c.", None, id="words"),
        pytest.param("f", ".. currentmodule:: scipy.x\n{input}\n%(d)s\nText.", "Text.", id="rst"),
        pytest.param("f", "a\x00b \ud800 c", "a b   c", id="control"),
    ],
)
def test_what_gives_a_label_away_is_stripped(name, text, left):
    libraries = ["numpy", "scipy", "sklearn", "transformers", "email"]
    assert strip_giveaways(Document("part.of", name, text), libraries) == (left or text)
