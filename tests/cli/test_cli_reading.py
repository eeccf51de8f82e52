"""What `--limit` reads: documents of the whole file, not its beginning."""

from __future__ import annotations

from tersely.cli.options import Sample
from tersely.text import Documents

DOCUMENTS = Documents.from_lists([str(number) for number in range(200)], ["a"] * 100 + ["b"] * 100)


def test_a_limit_draws_by_the_seed_and_keeps_the_order():
    chosen = Sample(limit=40, seed=3).of(DOCUMENTS)
    numbers = [int(text) for text in chosen.texts]
    assert len(numbers) == 40 and numbers == sorted(set(numbers))
    assert {"a", "b"} == set(chosen.labels)
    assert Sample(limit=40, seed=3).of(DOCUMENTS).texts == chosen.texts
    assert Sample(limit=40, seed=4).of(DOCUMENTS).texts != chosen.texts


def test_without_a_limit_or_below_it_all_are_read():
    assert Sample().of(DOCUMENTS) is DOCUMENTS and Sample(limit=200).of(DOCUMENTS) is DOCUMENTS
