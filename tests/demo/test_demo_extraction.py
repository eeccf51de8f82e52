"""Docstrings are found in source files without importing them."""

from __future__ import annotations

import sys

import pytest

from tersely.demo.extraction import Document, documents_in, find_modules, root_folder

SOURCE = '''
"""What the module is for."""
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

try:
    import missing
except ImportError:
    pass
else:
    x = 1
if True:
    def guarded():
        """Under a condition."""

add_docstr(lib.abs, r"""abs(input) -> Tensor""" + r"""
Computes {x}.""".format(**common))
special = _add_docstr(_C.gamma, "The gamma function.")
add_newdoc("lib.core", "flat", "A flat iterator.")
add_newdoc("lib.core", "flat", ("base", """
    What it iterates over.
    """))
add_newdoc("lib.core", variable)
other_call("lib", "not a docstring")
'''

FOUND = [
    ("", "What the module is for."),
    ("outer", "Outer text.\n\na : int\n    kept indentation"),
    ("Box", "A box."),
    ("Box.open", "Open the box."),
    ("guarded", "Under a condition."),
    ("lib.abs", "abs(input) -> Tensor\nComputes {x}."),
    ("_C.gamma", "The gamma function."),
    ("lib.core.flat", "A flat iterator."),
    ("lib.core.flat.base", "What it iterates over."),
]


def test_finds_every_docstring_in_file_order(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert documents_in(file, "p.module") == [
        Document("p.module", name, text) for name, text in FOUND
    ]


def test_reads_the_encoding_a_file_declares_and_ignores_its_bad_escapes(tmp_path):
    file = tmp_path / "module.py"
    file.write_bytes('# coding: latin-1\n"""caf\xe9 \\d"""'.encode("latin-1"))
    assert documents_in(file, "m")[0].text == "café \\d"


def test_says_so_if_a_file_is_not_python(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def (", encoding="utf-8")
    with pytest.raises(SyntaxError):
        documents_in(file, "m")


def test_origin_names_module_and_object():
    assert Document("a.b", "C.d", "").origin == "a.b:C.d"


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
        "shelf/conftest.py",
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
def test_lists_the_modules_under_prefixes(library, prefixes, modules, missing):
    found, absent = find_modules(prefixes)
    assert (list(found), absent) == (modules, missing)
    assert all(file.is_relative_to(library) for file in found.values())
    assert "shelf" not in sys.modules


def test_finds_the_standard_library_and_nothing_else():
    assert (root_folder("json") / "json" / "__init__.py").is_file()
    assert root_folder("no_such_library") is None
