"""No text is in two parts, and a text's part depends on nothing but what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.certificates import PARTS, different, draw_parts, fingerprint
from tersely.errors import DataError

FILL = [f"text {number}" for number in range(60)]
texts_of_all_kinds = st.lists(st.text("aB \t\n", max_size=4), max_size=40).map(lambda t: t + FILL)


def said(texts, parts):
    return {
        name: {" ".join(texts[i].lower().split()) for i in part} for name, part in parts.items()
    }


@given(texts_of_all_kinds, st.integers(0, 5), st.randoms())
def test_no_text_is_in_two_parts_and_none_is_lost(texts, seed, random):
    parts = said(texts, draw_parts(texts, seed=seed))
    assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
    assert set.union(*parts.values()) == {" ".join(text.lower().split()) for text in texts}
    shuffled = random.sample(texts, len(texts))
    assert said(shuffled, draw_parts(shuffled, seed=seed)) == parts
    assert fingerprint(shuffled) == fingerprint(texts)


def test_a_text_stays_in_its_part_when_others_come():
    before = said(FILL, draw_parts(FILL))
    more = [f"more {number}" for number in range(500)] + FILL
    after = said(more, draw_parts(more))
    assert all(before[name] <= after[name] for name in PARTS)


def test_sizes_are_near_the_shares_and_seeds_draw_differently():
    texts = [f"text {number}" for number in range(10_000)]
    parts = draw_parts(texts, {"a": 0.7, "b": 0.3}, seed=1)
    assert len(parts["b"]) == pytest.approx(3000, abs=150)
    both = set(parts["b"]) & set(draw_parts(texts, {"a": 0.7, "b": 0.3}, seed=2)["b"])
    assert len(both) == pytest.approx(900, abs=120)


def test_pairs_are_equal_if_both_texts_are():
    pairs = [("a b", "c"), ("a", "b c"), ("A  b", "c "), ("c", "a b")]
    assert different(pairs) == [0, 1, 3]
    assert different(["x", "X", "y"], without=["Y"]) == [0]


@pytest.mark.parametrize(
    ("texts", "shares", "match"),
    [
        (FILL, {"a": 0.5, "b": 0.4}, "add up to 1"),
        (FILL, {}, "add up to 1"),
        (["same", " SAME"] * 50, PARTS, "100 texts 1 are different, ignoring"),
        ([], PARTS, "no document is left"),
    ],
)
def test_what_cannot_be_drawn_is_refused(texts, shares, match):
    with pytest.raises(DataError, match=match):
        draw_parts(texts, shares)
