"""Counts prove what the textbook says, and the numbers of documents are those that are needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from tersely.certificates.bounds import documents_needed, upper_bound
from tersely.errors import DataError


@pytest.mark.parametrize(
    ("limit", "needed"), [(0.001, 2995), (0.005, 598), (0.01, 299), (0.02, 149), (0.05, 59)]
)
def test_the_known_numbers_of_documents(limit, needed):
    assert documents_needed(limit) == needed
    assert upper_bound(0, needed) <= limit < upper_bound(0, needed - 1)


@given(st.integers(1, 3000), st.floats(0, 1))
def test_the_bound_is_scipys_exact_one(documents, share):
    failures = int(share * documents)
    test = binomtest(failures, documents, alternative="less")
    wanted = test.proportion_ci(0.95, method="exact").high
    assert upper_bound(failures, documents) == pytest.approx(wanted, abs=1e-9)


@given(st.floats(0.002, 0.2), st.floats(0, 0.95))
def test_documents_needed_prove_at_the_rate_and_fewer_do_not(limit, part):
    rate = part * limit
    needed = documents_needed(limit, rate)
    assert upper_bound(rate * needed, needed) <= limit
    assert upper_bound(rate * (needed - 1), needed - 1) > limit
    assert needed >= documents_needed(limit)


@pytest.mark.parametrize("rate", [0.01, 0.02, 1.0])
def test_no_number_proves_a_rate_above_the_limit(rate):
    assert documents_needed(0.01, rate) is None


@pytest.mark.parametrize("documents", [59, 300, 2000])
def test_a_broken_limit_is_proven_at_most_once_in_twenty(documents):
    counts, rates = np.arange(documents + 1), np.linspace(0.0501, 0.2, 40)[:, None]
    proves = upper_bound(counts, documents) <= 0.05
    assert ((binom.pmf(counts, documents, rates) @ proves) <= 0.05).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: upper_bound(3, 2), "failures must be from 0"),
        (lambda: documents_needed(0.0), "limit between 0 and 1, got 0"),
        (lambda: documents_needed(5, 100), "0.5 % is 0.005"),
    ],
)
def test_what_cannot_be_is_refused(call, match):
    with pytest.raises(DataError, match=match):
        call()
