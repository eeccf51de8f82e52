"""A limit that holds is hardly ever doubted, however often one looks; one that broke, soon."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.certificates import Audit
from tersely.errors import DataError

LIMIT, LENGTH, RUNS = 0.01, 6000, 2000


@pytest.fixture(scope="module")
def least():
    """How many differing documents are needed for a warning, by the number that was audited."""
    found, count = [], 1
    for audited in range(LENGTH + 1):
        while count <= audited and not Audit(LIMIT, audited=audited, differing=count).warns:
            count += 1
        found.append(count)
    return np.array(found[1:])


def first_warning(rates, least, seed=0):
    """The document after which each of the runs warns first, LENGTH where none does."""
    generator = np.random.default_rng(seed)
    seen = np.cumsum(generator.random((RUNS, LENGTH), dtype=np.float32) < rates, axis=1)
    warned = seen >= least
    return np.where(warned.any(axis=1), warned.argmax(axis=1), LENGTH)


ROUGH = np.where(np.arange(LENGTH) // 500 % 2, LIMIT, 0)  # comes and goes, never above the limit


@pytest.mark.parametrize("rates", [LIMIT, LIMIT / 2, ROUGH])
def test_peeking_at_every_document_breaks_a_true_limit_at_most_once_in_twenty(rates, least):
    assert (first_warning(rates, least) < LENGTH).mean() <= 0.055


@pytest.mark.parametrize(("times", "documents"), [(2, 2500), (4, 500), (10, 150)])
def test_a_broken_limit_is_noticed(times, documents, least):
    assert np.median(first_warning(times * LIMIT, least)) <= documents


def test_a_true_rate_that_is_not_the_limit_is_not_refuted_either():
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        differing = np.flatnonzero(generator.random(1500) < 0.03) + 1
        # Between two that differ the wealth falls, so these are the looks that count.
        looks = (Audit(LIMIT, audited=at, differing=n) for n, at in enumerate(differing, 1))
        missed += any(look.wealth(0.03) >= np.log(20) for look in looks)
    assert missed <= 16  # of 200, 10 are allowed, and the sixth more is chance


@given(st.integers(0, 3000), st.integers(0, 3000), st.floats(0.0005, 0.3))
def test_a_warning_is_a_lower_bound_above_the_limit(one, two, limit):
    audit = Audit(limit, audited=max(one, two), differing=min(one, two))
    bound = audit.lower_bound()
    assert bound <= audit.differing / max(1, audit.audited)
    if abs(bound - limit) > 1e-5 * limit:
        assert audit.warns == (bound > limit)
    if bound:
        assert audit.wealth(bound * 0.9) >= audit.wealth(bound) - 1e-9


def test_what_was_seen_is_said_in_a_sentence():
    all_of_it = Audit(LIMIT, audited=300, differing=28)
    assert "28 of 300 audited documents" in all_of_it.sentence()
    assert all_of_it.sentence().endswith("recalibrate on new ones")
    assert not Audit(LIMIT).warns and Audit(LIMIT).lower_bound() == 0
    with pytest.raises(DataError, match="got 3"):
        Audit(LIMIT, audited=2, differing=3)
