"""The share of a plan is found and set wherever it stands."""

from __future__ import annotations

import pytest

from tersely.errors import PlanError
from tersely.methods.focus import Combine
from tersely.reduction import Plan, Step, budget_option, plan_share, preset, presets, with_share

# Dense has no budget, and breaking-bert aims at a sparsity by an option of its own.
BUDGETS = {
    name: budget_option(name, 6) for name in presets() if name not in ("dense", "breaking-bert")
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
    for plan in (preset("dense"), preset("focus-c"), Plan("mine", (Step(Combine(), 2),))):
        with pytest.raises(PlanError, match="the plan must have a share of tokens or blocks"):
            plan_share(plan, 6)
    with pytest.raises(PlanError, match="keep is not a share of the plan 'tome'.*are ratio"):
        with_share(preset("tome", least=1), keep=0.5)
    with pytest.raises(PlanError, match="keep is not a share of the plan 'dense'.*are none"):
        with_share(preset("dense"), keep=0.5)
    with pytest.raises(PlanError, match=r"keep must be a number in \(0, 1\], got 2"):
        with_share(preset("lat", least=1), keep=2)
