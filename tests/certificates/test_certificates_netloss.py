"""The bound on the net loss is exact, as sharp as asked for, and never below what is true."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from tersely.certificates.netloss import documents_for_net_loss, net_loss_bound, net_loss_p_value
from tersely.errors import DataError


def region(documents, limit, discordant):
    """The most documents that may turn wrong, by the number of discordant ones."""
    most, found = -1, []
    for count in range(discordant):
        most = min(count, most + 1)
        while most >= 0 and net_loss_p_value(most, count - most, documents, limit) > 0.05:
            most -= 1
        found.append(most)
    return np.array(found)


def proven(most, documents, worse, better):
    """How likely a limit is proven, summed over all outcomes."""
    counts = np.arange(len(most))
    losses = binom.cdf(most, counts, worse / (worse + better))
    return (binom.pmf(counts, documents, worse + better) * losses).sum()


def test_the_known_numbers_of_documents():
    assert [documents_for_net_loss(limit, 0, 0) for limit in (0.005, 0.01, 0.02)] == [598, 299, 149]
    # By the normal approximation 1,082: what is exact takes some more.
    assert 1080 <= documents_for_net_loss(0.01, 0.02, 0.02) <= 1160
    assert documents_for_net_loss(0.01, 0.03, 0.02) is None
    assert documents_for_net_loss(0.05, 0.0997, 0.05) is None, "millions"


def test_a_limit_is_broken_by_at_most_one_sample_in_twenty_whatever_is_discordant():
    documents, limit = 300, 0.02
    most = region(documents, limit, 70)
    for discordant in np.linspace(limit, 0.12, 30):
        broken = proven(most, documents, (discordant + limit) / 2, (discordant - limit) / 2)
        assert broken <= 0.05
        if discordant > 0.04:  # the bound is not vacuous
            assert broken > 0.03


@pytest.mark.slow
def test_one_point_is_certified_in_most_draws_where_four_percent_are_discordant():
    most = region(2000, 0.01, 130)
    assert proven(most, 2000, 0.02, 0.02) >= 0.65
    assert all(proven(most, 2000, d / 2 + 0.005, d / 2 - 0.005) <= 0.05 for d in (0.01, 0.02, 0.04))


def test_small_samples_by_enumeration_of_every_outcome():
    documents, limit = 11, 0.15
    outcomes = [(w, r) for w in range(documents + 1) for r in range(documents + 1 - w)]
    bounds = np.array([net_loss_bound(*each, documents) for each in outcomes])
    table = np.array([(w, r, documents - w - r) for w, r in outcomes])
    for better in (0.0, 0.05, 0.2, 0.4):
        for loss in (0.0, limit, -0.04):
            shares = [better + loss, better, 1 - 2 * better - loss]
            if min(shares) >= 0:
                chance = multinomial.pmf(table, documents, shares)
                assert chance[bounds < loss].sum() <= 0.05 + 1e-9


counts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(25, 200))
cached = functools.cache(net_loss_bound)


@given(counts)
def test_the_bound_grows_with_losses_and_falls_with_gains(each):
    worse, better, documents = each
    bound = cached(*each)
    assert (worse - better) / documents <= bound <= 1
    assert cached(worse + 1, better, documents) >= bound - 2e-6
    assert cached(worse, better + 1, documents) <= bound + 2e-6
    assert net_loss_p_value(*each, bound) <= 0.05
    assert net_loss_p_value(*each, bound - 2e-6) > 0.05


@pytest.mark.parametrize("each", [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_counts_that_cannot_be_are_refused(each):
    with pytest.raises(DataError, match="must be counts out of"):
        net_loss_bound(*each)
