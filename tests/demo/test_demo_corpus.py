"""The corpus has the sizes asked for, and no module on both sides."""

from __future__ import annotations

import random
import re
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.demo import SUBJECTS, build_corpus
from tersely.demo.corpus import _even_shares
from tersely.demo.subjects import subject_of
from tersely.errors import DataError, TerselyWarning

TABLE = {"fruit": ["pantry.fruit"], "bread": ["pantry.bread"], "odd": ["pantry.bread.odd"]}


def sentence(chance, words=20):
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
                f'def f{index}():\n    """{sentence(chance)}"""\n' for index in range(functions)
            )
            code += f'def short():\n    """{sentence(chance, 5)}"""\n'
            code += 'def copied():\n    """The same text in every module, ' + "a b " * 9 + '"""\n'
            (tmp_path / "pantry" / folder / f"m{number}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pantry"


def build(training=30, heldout=20, seed=0, subjects=TABLE, **keywords):
    return build_corpus(training, heldout, seed, 15, subjects=subjects, **keywords)


def modules(origins):
    return {origin.partition(":")[0] for origin in origins}


@pytest.mark.parametrize("seed", range(5))
def test_sizes_sides_and_labels(pantry, seed):
    corpus = build(seed=seed)
    sides = [
        (corpus.train_texts, corpus.train_labels, corpus.train_origins, 30),
        (corpus.heldout_texts, corpus.heldout_labels, corpus.heldout_origins, 20),
    ]
    for texts, labels, origins, size in sides:
        assert len(texts) == len(labels) == len(origins) == size
        assert set(labels) == set(corpus.labels) == set(TABLE)
        assert all(len(text.split()) >= 15 for text in texts)
        assert labels == [subject_of(origin.partition(":")[0], TABLE) for origin in origins]
    assert modules(corpus.train_origins).isdisjoint(modules(corpus.heldout_origins))
    assert len({*corpus.train_texts, *corpus.heldout_texts}) == 50
    assert sum("same text" in text for text in corpus.train_texts + corpus.heldout_texts) <= 1


def test_the_seed_decides(pantry):
    first = build(seed=1)
    assert build(seed=1) == first
    assert any(
        modules(build(seed=seed).heldout_origins) != modules(first.heldout_origins)
        for seed in range(2, 6)
    )


def test_reports_progress_per_file(pantry):
    calls = []
    build(progress=lambda *call: calls.append(call))
    assert calls == [("reading", done, 12) for done in range(1, 13)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"training": 0}, "positive number for training, got 0"),
        ({"heldout": -1}, "positive number for heldout, got -1"),
        ({"training": 900, "heldout": 20}, r"needs 900 training documents, found \d+ .*demo"),
        ({"training": 4, "heldout": 700}, r"needs 700 held-out documents, found \d+ .*demo"),
        ({"subjects": {"a": ["pantry.fruit"], "b": ["no_such_lib"]}}, "not installed: no_such_lib"),
    ],
)
def test_says_what_is_wrong(pantry, asked, message):
    with pytest.raises(DataError, match=message):
        build(**asked)


def test_names_the_subjects_and_libraries_that_are_missing(pantry):
    table = {**TABLE, "glass": ["no_such_lib.glass"], "steel": ["pantry.steel"]}
    with pytest.warns(TerselyWarning, match="2 of 5 subjects .*: glass, steel; .*no_such_lib;"):
        corpus = build(subjects=table)
    assert corpus.labels == sorted(TABLE)


def test_a_file_that_cannot_be_read_is_counted(pantry):
    (pantry / "fruit" / "broken.py").write_text("def (", encoding="utf-8")
    with pytest.warns(TerselyWarning, match=r"1 of 13 .* the first is pantry\.fruit\.broken"):
        build()


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 60), min_size=1),
    st.integers(1, 400),
)
def test_shares_are_even_and_capped(available, wanted):
    shares = _even_shares(available, wanted)
    cap = int(3 * statistics.median(available.values()))
    assert all(0 <= shares[each] <= min(available[each], cap) for each in available)
    assert sum(shares.values()) == min(wanted, sum(min(n, cap) for n in available.values()))
    richest = max(shares.values())
    assert all(shares[each] >= min(available[each], cap, richest - 1) for each in available)


@pytest.mark.parametrize(
    ("module", "subject"),
    [
        ("scipy.stats._morestats", "statistics"),
        ("scipy.sparse.csgraph", "graphs"),
        ("scipy.sparse._base", "arrays"),
        ("torch.nn.parallel.comm", "concurrency"),
        ("jsonschema", None),
        ("scipy", None),
    ],
)
def test_the_longest_prefix_wins(module, subject):
    assert subject_of(module) == subject


def test_no_prefix_is_in_two_subjects():
    counts = Counter(prefix for prefixes in SUBJECTS.values() for prefix in prefixes)
    assert 12 <= len(SUBJECTS) <= 20
    assert counts.most_common(1)[0][1] == 1


@pytest.mark.slow
def test_the_real_corpus():
    pytest.importorskip("scipy")
    pytest.importorskip("sklearn")
    corpus = build_corpus()
    assert (len(corpus.train_texts), len(corpus.heldout_texts)) == (1500, 1000)
    assert 12 <= len(corpus.labels) <= 20
    assert modules(corpus.train_origins).isdisjoint(modules(corpus.heldout_origins))
    for labels in (corpus.train_labels, corpus.heldout_labels):
        counts = Counter(labels)
        assert set(counts) == set(corpus.labels)
        assert max(counts.values()) <= 3 * statistics.median(counts.values())
    both = zip(
        corpus.train_texts + corpus.heldout_texts,
        corpus.train_origins + corpus.heldout_origins,
        strict=True,
    )
    library = re.compile(r"(?<!\w)(numpy|scipy|sklearn|sympy|networkx)(?!\w)", re.IGNORECASE)
    for text, origin in both:
        module, _, name = origin.partition(":")
        assert not name or f"{module}.{name}" not in text
        assert not library.search(text), origin
        if "." in name:
            assert not re.search(rf"(?<![\w.]){re.escape(name)}\(", text), origin


@pytest.mark.slow
def test_the_real_corpus_without_some_libraries(monkeypatch):
    from tersely.demo import extraction

    find = extraction.root_folder
    monkeypatch.setattr(
        extraction,
        "root_folder",
        lambda package: None if package in ("sympy", "mpmath") else find(package),
    )
    with pytest.warns(TerselyWarning, match="1 of 19 .*: symbolic algebra; not installed: mpmath"):
        corpus = build_corpus()
    assert len(corpus.labels) >= 12
