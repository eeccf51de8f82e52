"""What `--limit` reads: documents of the whole file, not its beginning."""

from __future__ import annotations

from tersely.cli.reading import drawn
from tersely.text import Documents

DOCUMENTS = Documents.from_lists([str(number) for number in range(200)], ["a"] * 100 + ["b"] * 100)


def test_a_limit_draws_by_the_seed_and_keeps_the_order():
    chosen = drawn(DOCUMENTS, 40, seed=3)
    numbers = [int(text) for text in chosen.texts]
    assert len(numbers) == 40 and numbers == sorted(set(numbers))
    assert {"a", "b"} == set(chosen.labels)
    assert drawn(DOCUMENTS, 40, seed=3).texts == chosen.texts
    assert drawn(DOCUMENTS, 40, seed=4).texts != chosen.texts


def test_without_a_limit_or_below_it_all_are_read():
    assert drawn(DOCUMENTS, None) is DOCUMENTS and drawn(DOCUMENTS, 200) is DOCUMENTS
