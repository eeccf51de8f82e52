"""Copies and near-copies go; texts that only share a subject stay."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tersely.demo.near_copies import distinct


def prose(seed, words=120):
    chance = random.Random(seed)
    return " ".join(f"w{chance.randrange(500)}" for _ in range(words))


def test_white_space_makes_no_difference():
    assert distinct(["a  b\n c", "a b c", "a b d"], str) == ["a  b\n c", "a b d"]


def test_the_same_opening_is_a_copy():
    opening = "x" * 200
    assert distinct([opening + " one two", opening + " three four"], str) == [opening + " one two"]


def test_a_few_words_changed_is_a_copy():
    text = prose(1)
    words = text.split()
    words[0] = words[50] = words[90] = "other"
    assert distinct([text, " ".join(words)], str) == [text]


def test_half_the_words_is_not_a_copy():
    shared, first, second = prose(1, 30), prose(2, 100), prose(3, 100)
    texts = [f"{first} {shared}", f"{second} {shared}"]
    assert distinct(texts, str) == texts


@given(st.lists(st.text(max_size=30)))
def test_keeps_first_ones_in_order_and_once_is_enough(texts):
    kept = distinct(texts, str)
    assert len({" ".join(text.split()) for text in kept}) == len(kept)
    assert [text for text in dict.fromkeys(texts) if text in kept] == kept
    assert distinct(kept, str) == kept
