"""The corpus has the sizes asked for, no module on both sides, and no copies."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "demo"))
from corpus import build_corpus, distinct
from documentation import Document
from subjects import SUBJECTS, subject_of
from tersely.errors import DataError, TerselyWarning

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
            code = "".join(
                f'def f{index}():\n    """{prose(chance, 20)}"""\n' for index in range(functions)
            )
            code += f'def short():\n    """{prose(chance, 5)}"""\n'
            code += 'def copied():\n    """The same text in every module, ' + "a b " * 9 + '"""\n'
            (tmp_path / "pantry" / folder / f"m{number}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pantry"


def build(training=30, heldout=20, seed=0, subjects=TABLE):
    return build_corpus(training, heldout, seed, 15, subjects)


def modules(side):
    return {document.module for _, document in side}


@pytest.mark.parametrize("seed", range(5))
def test_sizes_sides_and_labels(pantry, seed):
    train, held = build(seed=seed)
    assert (len(train), len(held)) == (30, 20)
    for side in (train, held):
        assert {subject for subject, _ in side} == set(TABLE)
        assert all(subject == subject_of(each.module, TABLE) for subject, each in side)
        assert all(len(each.text.split()) >= 15 for _, each in side)
    assert modules(train).isdisjoint(modules(held))
    texts = [document.text for _, document in train + held]
    assert len(set(texts)) == 50 and sum("same text" in text for text in texts) <= 1


def test_the_seed_decides(pantry):
    first = build(seed=1)
    assert build(seed=1) == first
    assert any(modules(build(seed=seed)[1]) != modules(first[1]) for seed in range(2, 6))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"training": 0}, "positive number of training, got 0"),
        ({"training": 900, "heldout": 20}, r"expected 900 training documents, found \d+ .*demo"),
        ({"training": 4, "heldout": 700}, r"expected 700 held-out documents, found \d+ .*demo"),
    ],
)
def test_what_is_wrong_is_said(pantry, asked, message):
    with pytest.raises(DataError, match=message):
        build(**asked)


def test_what_is_missing_is_named(pantry):
    (pantry / "fruit" / "broken.py").write_text("def (", encoding="utf-8")
    table = {**TABLE, "glass": "no_such_lib.glass", "steel": "pantry.steel"}
    with pytest.warns(TerselyWarning) as said:
        train, _ = build(15, 6, subjects=table)
    assert {subject for subject, _ in train} == set(TABLE)
    text = "\n".join(str(each.message) for each in said)
    for expected in ("no_such_lib", "pantry.fruit.broken", "2 of 5 subjects", "glass"):
        assert expected in text


def test_copies_and_near_copies_go_and_others_stay():
    chance = random.Random(1)
    text = prose(chance, 120)
    changed = text.split()
    changed[0] = changed[50] = changed[90] = "other"
    shared = prose(chance, 30)
    halves = [f"{prose(chance, 100)} {shared}", f"{prose(chance, 100)} {shared}"]
    texts = [text, " ".join(changed), text.replace(" ", "  "), *halves]
    kept = distinct(("subject", Document("m", str(n), each)) for n, each in enumerate(texts))
    assert [document.text for _, document in kept] == [text, *halves]


def test_the_table_of_subjects_has_no_prefix_twice_and_the_longest_wins():
    counts = Counter(" ".join(SUBJECTS.values()).split())
    assert 12 <= len(SUBJECTS) <= 20 and counts.most_common(1)[0][1] == 1
    assert subject_of("scipy.sparse.csgraph") == "graphs"
    assert subject_of("scipy.sparse._base") == "arrays"
    assert subject_of("jsonschema") is None


@pytest.mark.slow
def test_the_real_corpus():
    pytest.importorskip("sympy")
    train, held = build_corpus()
    assert (len(train), len(held)) == (1000, 600)
    assert modules(train).isdisjoint(modules(held))
    assert {subject for subject, _ in train} == {subject for subject, _ in held} == set(SUBJECTS)
    library = re.compile(r"(?<!\w)(numpy|scipy|sklearn|sympy|networkx)(?!\w)", re.IGNORECASE)
    for _, document in train + held:
        assert not document.name or f"{document.module}.{document.name}" not in document.text
        assert not library.search(document.text), document.module
