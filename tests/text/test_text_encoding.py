"""Tokenising documents, and the policies for those that are too long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import DataError
from tersely.text.encoding import encode
from words import tokenizer

TOKENIZER = tokenizer()


def text(words: int) -> str:
    return " ".join(f"word{number % 40}" for number in range(words))


def ids(document: str) -> list[int]:
    return TOKENIZER(document)["input_ids"]


def test_short_documents_are_what_the_tokenizer_makes_of_them():
    texts = [text(3), "", text(1)]
    encoded = encode(TOKENIZER, texts, max_length=10)
    assert [window.tolist() for window in encoded.windows] == [ids(t) for t in texts]
    assert encoded.report.affected == 0
    assert encoded.report.sentence() is None
    assert encoded.tokens == 5 + 2 + 3


def test_truncate_is_what_the_tokenizer_truncates_to():
    expected = TOKENIZER(text(20), truncation=True, max_length=8)["input_ids"]
    encoded = encode(TOKENIZER, [text(20), text(2)], max_length=8)
    assert encoded.windows[0].tolist() == expected
    assert encoded.report.affected == 1
    assert encoded.report.unread == 22 - 8
    assert "1 of 2 documents" in encoded.report.sentence()


def test_head_tail_keeps_both_ends():
    encoded = encode(TOKENIZER, [text(20)], max_length=10, policy="head-tail")
    full = ids(text(20))
    assert encoded.windows[0].tolist() == [full[0], *full[1:3], *full[-7:-1], full[-1]]
    assert encoded.report.unread == 12


@given(words=st.integers(0, 60), limit=st.integers(4, 20), overlap=st.integers(0, 25))
def test_windows_read_every_token(words, limit, overlap):
    encoded = encode(TOKENIZER, [text(words)], max_length=limit, policy="windows", overlap=overlap)
    full = ids(text(words))
    assert encoded.report.unread == 0
    assert encoded.counts.tolist() == [len(encoded.windows)]
    covered = set()
    for window in encoded.windows:
        assert len(window) <= limit
        assert (window[0], window[-1]) == (full[0], full[-1])
        inner = window[1:-1].tolist()
        places = [p for p in range(words) if full[1 + p : 1 + p + len(inner)] == inner]
        assert places or not inner
        covered.update(place + step for place in places for step in range(len(inner)))
    assert covered >= set(range(words))
    if len(full) > limit:
        assert {len(window) for window in encoded.windows} == {limit}


@pytest.mark.parametrize("limit", [12, 64, 66, 67, 130])
def test_windows_share_half_of_their_room_at_most(limit):
    encoded = encode(TOKENIZER, [text(1000)], max_length=limit, policy="windows")
    room = limit - 2
    step = room - min(64, room // 2)
    assert encoded.counts.tolist() == [-(-(1000 - room) // step) + 1]
    assert encoded.tokens < 2.2 * 1000 + 2 * len(encoded.windows)


def test_pairs_are_shortened_as_the_tokenizer_does_it():
    options = {"truncation": "longest_first", "max_length": 12}
    expected = TOKENIZER(text(20), text(3), **options)
    encoded = encode(TOKENIZER, [text(20)], [text(3)], max_length=12)
    assert encoded.windows[0].tolist() == expected["input_ids"]
    assert encoded.types[0].tolist() == expected["token_type_ids"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": [text(3)], "policy": "windows"}, "got text pairs"),
        ({"max_length": 2}, "must leave room"),
        ({"policy": "head_tail"}, "one of truncate, head-tail, windows, got 'head_tail'"),
    ],
)
def test_what_cannot_be_done_is_said(options, message):
    with pytest.raises(DataError, match=message):
        encode(TOKENIZER, [text(30)], **({"max_length": 12} | options))


def test_no_documents_are_no_error():
    encoded = encode(TOKENIZER, [], max_length=8)
    assert len(encoded) == 0
    assert encoded.tokens == 0


def test_sizes_add_the_windows_of_a_document():
    encoded = encode(TOKENIZER, [text(2), text(30)], max_length=10, policy="windows", overlap=2)
    assert encoded.sizes.tolist() == [4, 10 * int(encoded.counts[1])]
    assert np.array_equal(encoded.starts, [0, 1])
