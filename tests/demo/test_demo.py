"""The demo: docstrings found without an import, a corpus without copies, its commands."""

import json
import random
import shlex
import sys

import pytest
from typer.main import get_command

import run
from corpus import build_corpus, distinct
from documentation import Document, documents_in, find_modules, strip_giveaways
from subjects import subject_of
from tersely.cli import app
from tersely.errors import DataError, TerselyWarning
from words import labelled, save_encoder

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


GIVEAWAYS = [
    ("sum", "sum(a,\n    b=(1, 2)) -> int\nAdd up.", "Add up."),
    ("A.log1p", "See log1p and log1px.", "See  and log1px."),
    ("f", ">>> from a.b import (c,\n...   d)\n>>> c", ">>> c"),
    ("f", "A scipy.stats.norm, np.abs(x).", "A norm, abs(x)."),
    ("f", "An email to the transformers, e.g. a.b.c.", "An email to the transformers, e.g. a.b.c."),
    ("f", ".. currentmodule:: scipy.x\n{input}\n%(d)s\nText.", "Text."),
    ("f", "a\x00b \ud800 c", "a b   c"),
]


@pytest.mark.parametrize(("name", "text", "left"), GIVEAWAYS)
def test_what_gives_a_label_away_is_stripped(name, text, left):
    libraries = ["numpy", "scipy", "sklearn", "transformers", "email"]
    assert strip_giveaways(Document("part.of", name, text), libraries) == left


# ---- the corpus ----------------------------------------------------------------------------------

TABLE = {"fruit": "pantry.fruit", "bread": "pantry.bread", "odd": "pantry.bread.odd"}


def prose(chance, words):
    return " ".join(f"word{chance.randrange(10_000)}" for _ in range(words))


@pytest.fixture
def pantry(tmp_path, monkeypatch):
    """A made-up library: three subjects in several modules of several sizes."""
    chance = random.Random(5)
    sizes = {"fruit": [9, 7, 5, 3, 1], "bread": [30, 2, 2, 8], "bread/odd": [6, 6, 6]}
    for folder, modules in sizes.items():
        (tmp_path / "pantry" / folder).mkdir(parents=True, exist_ok=True)
        for number, functions in enumerate(modules):
            texts = [*(prose(chance, 20) for _ in range(functions)), prose(chance, 5), "same " * 20]
            code = "\n".join(f'def f{n}():\n    """{text}"""' for n, text in enumerate(texts))
            (tmp_path / "pantry" / folder / f"m{number}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pantry"


def build(training=30, heldout=20, seed=0, subjects=TABLE):
    return build_corpus(training, heldout, seed, 15, subjects)


def test_sizes_sides_and_labels(pantry):
    train, held = build()
    assert (len(train), len(held)) == (30, 20)
    for side in (train, held):
        assert {subject for subject, _ in side} == set(TABLE)
        assert all(subject == subject_of(each.module, TABLE) for subject, each in side)
        assert all(len(each.text.split()) >= 15 for _, each in side)
    sides = [{document.module for _, document in side} for side in (train, held)]
    assert sides[0].isdisjoint(sides[1])
    assert build() == (train, held) != build(seed=1)
    assert len({document.text for _, document in train + held}) == 50
    with pytest.raises(DataError, match=r"expected 900 training documents, found \d+ .*demo"):
        build(training=900)


def test_what_is_missing_is_named(pantry):
    (pantry / "fruit" / "broken.py").write_text("def (", encoding="utf-8")
    table = {**TABLE, "glass": "no_such_lib.glass"}
    with pytest.warns(TerselyWarning) as said:
        train, _ = build(15, 6, subjects=table)
    assert {subject for subject, _ in train} == set(TABLE)
    text = "\n".join(str(each.message) for each in said)
    assert all(name in text for name in ("no_such_lib", "pantry.fruit.broken", "1 of 4 subjects"))


def test_copies_and_near_copies_go_and_others_stay():
    chance = random.Random(1)
    text, shared = prose(chance, 120), prose(chance, 30)
    near = " ".join(["other", *text.split()[1:60], "other", *text.split()[61:]])
    halves = [f"{prose(chance, 100)} {shared}", f"{prose(chance, 100)} {shared}"]
    texts = [text, near, text.replace(" ", "  "), *halves]
    kept = distinct(("subject", Document("m", "f", each)) for each in texts)
    assert [document.text for _, document in kept] == [text, *halves]


# ---- the run -------------------------------------------------------------------------------------

FIGURES = [("dense", 0.705, 1.31), ("topk", 0.698, 2.62), ("pipeline", 0.705, 1.0)]
RESULTS = [
    {"name": name, "quality": {"accuracy": right}, "speedup": {"median": x}, "seconds": [1 / x]}
    for name, right, x in [*FIGURES, ("tfidf", 0.667, 1234.5), ("model", 0.735, 1.3)]
]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A tiny encoder, and a few documents in the place of the libraries'."""
    texts = zip(*labelled(72), strict=True)
    found = [(label, Document("m", "f", text)) for text, label in texts]
    encoder = save_encoder(tmp_path / "encoder", max_position_embeddings=256)
    monkeypatch.setattr(run, "packaged_encoder", lambda: encoder)
    monkeypatch.setattr(run, "build_corpus", lambda *_: (found[12:], found[:12]))
    return tmp_path / "out"


def test_the_commands_have_options_that_exist(stage, monkeypatch):
    lines = []

    def record(line):
        lines.append(shlex.split(line))
        return json.dumps({"results": RESULTS, "documents": 192, "judged": 600})

    monkeypatch.setattr(run, "command", record)
    run.main(["--out", str(stage)])
    assert [verb for verb, *_ in lines] == ["train", "bench"]
    for verb, *words in lines:
        known = get_command(app).commands[verb].params
        known = {name for each in known for name in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known
