"""The corpus has the sizes asked for, no module on both sides, and no copies."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

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
            texts = [*(prose(chance, 20) for _ in range(functions)), prose(chance, 5), "same " * 20]
            code = "\n".join(f'def f{n}():\n    """{text}"""' for n, text in enumerate(texts))
            (tmp_path / "pantry" / folder / f"m{number}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pantry"


def build(training=30, heldout=20, seed=0, subjects=TABLE):
    return build_corpus(training, heldout, seed, 15, subjects)


@pytest.mark.parametrize("seed", range(3))
def test_sizes_sides_and_labels(pantry, seed):
    train, held = build(seed=seed)
    assert (len(train), len(held)) == (30, 20)
    for side in (train, held):
        assert {subject for subject, _ in side} == set(TABLE)
        assert all(subject == subject_of(each.module, TABLE) for subject, each in side)
        assert all(len(each.text.split()) >= 15 for _, each in side)
    sides = [{document.module for _, document in side} for side in (train, held)]
    assert sides[0].isdisjoint(sides[1])
    assert build(seed=seed) == (train, held) != build(seed=seed + 1)
    assert len({document.text for _, document in train + held}) == 50


def test_what_is_wrong_is_said(pantry):
    with pytest.raises(DataError, match="positive number of training, got 0"):
        build(training=0)
    with pytest.raises(DataError, match=r"expected 900 training documents, found \d+ .*demo"):
        build(training=900)


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
    text, shared = prose(chance, 120), prose(chance, 30)
    near = " ".join(["other", *text.split()[1:60], "other", *text.split()[61:]])
    halves = [f"{prose(chance, 100)} {shared}", f"{prose(chance, 100)} {shared}"]
    texts = [text, near, text.replace(" ", "  "), *halves]
    kept = distinct(("subject", Document("m", "f", each)) for each in texts)
    assert [document.text for _, document in kept] == [text, *halves]


def test_the_longest_prefix_wins_and_none_is_there_twice():
    assert subject_of("scipy.sparse.csgraph") == "graphs" and subject_of("jsonschema") is None
    assert Counter(" ".join(SUBJECTS.values()).split()).most_common(1)[0][1] == 1


@pytest.mark.slow
def test_the_real_corpus_names_no_library():
    pytest.importorskip("sympy")
    train, held = build_corpus()
    assert {subject for subject, _ in train} == {subject for subject, _ in held} == set(SUBJECTS)
    library = re.compile(r"(?<!\w)(numpy|scipy|sklearn|sympy|networkx)(?!\w)", re.IGNORECASE)
    assert [each.module for _, each in train + held if library.search(each.text)] == []
