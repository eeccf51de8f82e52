"""The best tokens of a document of any length, in their order."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.text.encoding import cut_windows, encode
from tiny import tiny_tokenizer


def slow_select(ids: list[int], scores: list[float], most: int) -> list[int]:
    """Drop the worst token, the last among equals, until the document fits."""
    kept = list(range(1, len(ids) - 1))
    while len(kept) + 2 > most:
        worst = min(scores[ids[place]] for place in kept)
        kept.remove(max(place for place in kept if scores[ids[place]] == worst))
    return [ids[0], *(ids[place] for place in kept), ids[-1]]


@given(
    st.lists(st.integers(3, 9), max_size=40),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]), min_size=10, max_size=10),
    st.integers(3, 20),
)
def test_select_keeps_the_best_in_their_order(text, scores, most):
    ids = np.array([1, *text, 2])
    (window,) = cut_windows(ids, (1, 1), most, "select", 0, np.array(scores)[ids])
    assert window.tolist() == slow_select(ids.tolist(), scores, most)


def test_a_document_of_138_000_pieces_is_read_at_once_and_its_tokens_counted():
    words = [f"w{number}" for number in range(50)]
    tokenizer, telling = tiny_tokenizer(words), 4 + 7
    scores = np.linspace(0.0, 1.0, 4 + len(words))
    scores[telling] = 9.0
    text = " ".join(["w1"] * 69_000 + ["w7"] + ["w2"] * 68_999)
    started = time.perf_counter()
    how = {"policy": "select", "values": lambda number, ids: scores[ids]}
    encoded = encode(tokenizer, [text, "w1 w2"], max_length=64, **how)
    assert time.perf_counter() - started < 20
    assert encoded.sizes.tolist() == [64, 4]
    assert encoded.windows[0][:2].tolist() == [1, telling]
    (said,) = encoded.report.sentences()
    assert said.endswith("most telling are read, 68 of 138,006 tokens")


@pytest.mark.parametrize("most", [3, 64])
def test_text_pairs_are_refused(most):
    with pytest.raises(Exception, match="the policy select for long documents works on single"):
        encode(tiny_tokenizer(["a"]), ["a"], ["a"], max_length=most, policy="select")
