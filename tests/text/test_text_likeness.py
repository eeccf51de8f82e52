"""Which documents say nearly the same, and which to label next, against slow versions of both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.text.encoding import encode
from tersely.text.likeness import ALIKE, choose_diverse, count_alike, piece_vectors
from words import labelled, tokenizer


def encoded(texts):
    return encode(tokenizer(), texts, max_length=64)


def special():
    return tokenizer().all_special_ids


def test_vectors_are_those_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    texts = [*labelled(30)[0], "cat cat cat dog", "", "unheard of"]
    expected = text.TfidfVectorizer(sublinear_tf=True).fit(texts[:-1])
    found = piece_vectors(encoded(texts[:-1]), special())
    other = expected.transform(texts[:-1])
    np.testing.assert_allclose((found @ found.T).toarray(), (other @ other.T).toarray(), atol=1e-9)


def test_near_duplicates_are_counted():
    train, labels = labelled(40)
    new = labelled(20, seed=5)[0]
    other = [train[3], "  ".join(reversed(train[7].split())), *new, ""]
    found, compared = count_alike(encoded(train), encoded(other), special())
    vectors = piece_vectors(encoded(train + other), special()).toarray()
    slow = sum((vectors[:40] @ row).max() >= ALIKE for row in vectors[40:])
    assert found == slow >= 2 and compared == len(other)


@given(st.integers(1, 12), st.integers(0, 99))
def test_what_is_chosen_is_in_doubt_and_unlike_what_was_chosen_before(count, seed):
    chance = np.random.default_rng(seed)
    vectors = chance.random((8, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5], doubt = vectors[2], chance.random(8).round(2)
    doubt[chance.integers(8)] = 0
    chosen = []
    while len(chosen) < count:
        worth = {
            n: doubt[n] * (1 - max((vectors[n] @ vectors[c] for c in chosen), default=0))
            for n in range(8)
        }
        best = max(worth, key=worth.get)
        if worth[best] < 1e-6:
            break
        chosen.append(best)
    assert choose_diverse(doubt, vectors, count) == chosen
    assert not {2, 5} <= {*chosen}
