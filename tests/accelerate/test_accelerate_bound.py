"""The bound is scipy's and the textbook's, and selection and proof share no text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from tersely.accelerate import documents_needed, split_texts, upper_bound
from tersely.errors import DataError


@pytest.mark.parametrize(
    ("limit", "needed"), [(0.005, 598), (0.01, 299), (0.05, 59), (0.001, 2995)]
)
def test_the_known_numbers_of_documents(limit, needed):
    assert documents_needed(limit) == needed
    assert upper_bound(0, needed) <= limit < upper_bound(0, needed - 1)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_bound_is_that_of_the_beta_distribution(documents, share):
    failures = math.floor(share * documents)
    wanted = 1.0 if failures == documents else beta.ppf(0.95, failures + 1, documents - failures)
    assert upper_bound(failures, documents) == pytest.approx(wanted, abs=1e-9)


@given(st.lists(st.sampled_from("abcdefghij"), max_size=40), st.integers(0, 5))
def test_choice_and_proof_have_no_text_in_common(letters, seed):
    texts = letters + [f"other {number}" for number in range(20)]
    selection, proof = split_texts(texts, 0.3, seed)
    chosen, proven = ({texts[i] for i in part} for part in (selection, proof))
    assert not chosen & proven
    assert chosen | proven == set(texts)
    assert len(selection) + len(proof) == len(set(texts))
    assert len(proof) >= documents_needed(0.3)


def test_too_few_texts_are_refused_with_the_number_needed():
    with pytest.raises(DataError, match=r"598 texts .* 1,195 different texts in all, got 100"):
        split_texts([f"text {number}" for number in range(100)] * 20, 0.005)
    with pytest.raises(DataError, match=r"at least 5\.82%"):
        split_texts([f"text {number}" for number in range(100)], 0.005)
    assert upper_bound(0, 50) <= 0.0582
    with pytest.raises(DataError, match="got 0"):
        split_texts([], 0.005)
