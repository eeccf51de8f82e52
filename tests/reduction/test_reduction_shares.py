"""The share of a plan is found and set wherever it stands; lengths fall by it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import PlanError
from tersely.methods.focus import Combine
from tersely.methods.lat import LengthDrop
from tersely.ragged import Layout
from tersely.reduction import (
    Candidates,
    Plan,
    Step,
    budget_option,
    plan_share,
    preset,
    presets,
    with_share,
)

# Dense has no budget, and breaking-bert aims at a sparsity by an option of its own.
BUDGETS = {
    name: budget_option(name, 6)
    for name in presets()
    if not preset(name).is_dense and name != "breaking-bert"
}
BY_SHARE = {
    name: budget for name, budget in BUDGETS.items() if budget[0] in ("keep", "ratio", "threshold")
}


@pytest.mark.parametrize("name", BY_SHARE)
def test_the_share_of_a_preset_is_its_option(name):
    option, values = BY_SHARE[name]
    found, value, ends = plan_share(preset(name), 6)
    assert (found, ends) == (option, values)
    assert preset(name, **{option: value}) == preset(name)
    assert with_share(preset(name), **{option: 0.37}) == preset(name, **{option: 0.37})


def test_presets_without_a_share_are_refused():
    assert len(BY_SHARE) > 8
    for plan in (
        preset("dense"),
        preset("focus-c"),
        Plan("mine", (Step(Combine(), 2),)),
    ):
        with pytest.raises(PlanError, match="the plan must have a share of tokens or blocks"):
            plan_share(plan, 6)
    with pytest.raises(PlanError, match="keep is not a share of the plan 'tome'.*are ratio"):
        with_share(preset("tome", least=1), keep=0.5)
    with pytest.raises(PlanError, match="keep is not a share of the plan 'dense'.*are none"):
        with_share(preset("dense"), keep=0.5)
    with pytest.raises(PlanError, match=r"keep must be a number in \(0, 1\], got 2"):
        with_share(preset("lat", least=1), keep=2)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 100), st.integers(0, 99)
)
def test_length_drop_leaves_the_ceiling_of_its_share(lengths, percent, seed):
    layout = Layout.from_lengths(lengths)
    scores = torch.rand(layout.tokens, 1, generator=torch.Generator().manual_seed(seed))
    alive = torch.ones_like(scores, dtype=torch.bool)
    case = Candidates(scores, alive, layout.positions == 0, layout, layout.lengths)
    losers = LengthDrop(least=1, keep=percent / 100, pin="first").losers(case)[:, 0]
    documents = zip(lengths, scores[:, 0].split(lengths), losers.split(lengths), strict=True)
    for length, own, gone in documents:
        stay = math.ceil(percent * length / 100)
        best = [0, *sorted(range(1, length), key=lambda i: (-own[i].item(), i))][:stay]
        assert (~gone).nonzero()[:, 0].tolist() == sorted(best)
