"""Scores on one scale: mean 1 in each document, and finite whatever they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.ragged import Layout
from tersely.reduction.scorers import to_mean_one


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 99), st.integers(0, 40))
def test_each_document_has_mean_one_or_no_score_at_all(lengths, seed, small):
    layout = Layout.from_lengths(lengths)
    scores = torch.rand(layout.tokens, 2, generator=torch.Generator().manual_seed(seed))
    scores = (scores + 0.1) * 10.0**-small
    # The first document of the first column knows nothing of its tokens.
    scores[: lengths[0], 0] = 0
    scaled = to_mean_one(scores, layout)
    assert scaled.isfinite().all()
    for number, document in enumerate(scaled.split(lengths)):
        if len(document):
            expected = [float(number > 0), 1.0]
            if small < 36:  # smaller ones are no longer told from 0
                assert document.mean(0).tolist() == pytest.approx(expected, rel=1e-4)


def test_gradients_of_scores_that_are_all_zero_are_finite():
    scores = torch.zeros(5, 1, requires_grad=True)
    to_mean_one(scores, Layout.from_lengths([4, 1])).sum().backward()
    assert scores.grad.isfinite().all()
