"""One set of weights under several plans: nothing is copied, and what does not fit is refused."""

from concurrent.futures import ThreadPoolExecutor
from types import MethodType

import pytest
import torch

from method_table import METHODS, build, pad
from tersely import preset
from tersely.errors import ModelError, PlanError
from tersely.methods.patterns import Neighbours
from tersely.modeling import with_plan
from tersely.reduction import LEAST, Plan, Step, find_preset, presets
from tiny import tiny_ids

DOCUMENTS = tiny_ids([11, 30, 4, 23])
WIDE = Plan("wide", (Step(Neighbours(width=[1, 2, 3]), 0),))
SHARED = [
    name
    for name, plan in METHODS.items()
    if plan.keeps_tokens and not (plan.learns or plan.needs_linear) and name != "fewer-layers"
]


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(**pad(DOCUMENTS)).logits


@pytest.mark.parametrize("method", SHARED)
def test_a_model_under_another_plan_is_one_that_was_built_for_it(method):
    dense = build(METHODS["dense"]).eval()
    copied = with_plan(dense, METHODS[method])
    shared = dense.under_plan(METHODS[method])
    assert torch.equal(logits(shared), logits(copied))
    assert shared.config.reduction_plan() == METHODS[method]
    assert dense.config.reduction_plan().is_dense and dense.plan.steps == {}
    for one, other in zip(shared.parameters(), dense.parameters(), strict=True):
        assert one is other
    back = shared.under_plan(preset("dense"))
    assert torch.equal(logits(back), logits(dense))


def test_blocks_may_be_left_out_but_not_put_back():
    dense = build(METHODS["dense"]).eval()
    short = dense.under_plan(preset("fewer-layers", keep=0.5))
    assert torch.equal(logits(short), logits(with_plan(dense, preset("fewer-layers", keep=0.5))))
    built = build(METHODS["fewer-layers"])
    with pytest.raises(PlanError, match="needs block 2, which this model, built for"):
        built.under_plan(preset("dense"))
    assert built.under_plan(preset("fewer-layers", keep=0.25)).plan.skipped == {1, 2, 3}


@pytest.mark.parametrize(
    ("mine", "plan", "message"),
    [
        ("dense", METHODS["focus-c"], "a module for .*combine.* in the place of block 2"),
        ("focus-c", preset("dense"), "needs block 2, .*built for the plan 'focus-c'"),
        ("focus-c", preset("focus-c", combine_at=1, tokens=4), "in the place of block 1"),
        ("focus-c", preset("focus-c", combine_at=0.75), "a module for .*'tokens': 8"),
        ("dense", preset("ltp"), "needs what its 'select' part learns at block 0"),
        ("dense", preset("transkimmer"), "needs what its 'score' part learns"),
        ("dense", WIDE, "each of the encoder's 4 heads"),
        ("dense", preset("topk", at=7), "must be a block of this encoder, 0 to 3"),
    ],
)
def test_plans_that_need_other_modules_are_refused(mine, plan, message):
    model = build(METHODS[mine])
    with pytest.raises(PlanError, match=message):
        model.under_plan(plan)


def test_the_familys_head_still_needs_its_first_token():
    with pytest.raises(ModelError, match="pin must be 'ends' or 'first'"):
        build(METHODS["dense"], head="family").under_plan(preset("topk", least=1, pin="none"))


def test_another_share_before_the_combining_module():
    model = build(METHODS["focus-pfc"]).eval()
    plan = preset("focus-pfc", keep=0.8, combine_at=0.75, tokens=4)
    other = build(plan).eval()
    assert torch.equal(logits(model.under_plan(plan)), logits(other))


def test_the_forward_that_mixed_precision_hangs_on_a_model_runs_the_twins_plan():
    model = build(METHODS["dense"]).eval()
    plain = type(model).forward
    # As accelerate does it: the wrapped function, bound to the object.
    model.forward = MethodType(lambda self, *args, **kwargs: plain(self, *args, **kwargs), model)
    twin = model.under_plan(METHODS["topk"])
    assert torch.equal(logits(twin), logits(build(METHODS["topk"]).eval()))


def test_threads_run_plans_of_their_own_on_the_same_weights():
    model = build(METHODS["lat"]).eval()
    twins = [model.under_plan(preset("lat", least=1, keep=keep)) for keep in (0.3, 0.5, 0.7, 0.9)]
    expected = [logits(twin) for twin in twins]
    with ThreadPoolExecutor(len(twins)) as pool:
        found = pool.map(lambda twin: [logits(twin) for _ in range(5)], twins)
    for results, wanted in zip(found, expected, strict=True):
        assert all(torch.equal(result, wanted) for result in results)


# ---- short texts keep all of their tokens (fault F1: a share of three tokens was [CLS] alone) --

SHORT = [1, 3, 4, LEAST]
LONG = [60, 47, 64]
# Keys alone leave, as in the paper; what only fades removes nothing yet.
OTHERS = ("focus-p", "focus-pf", "focus-pfc", "ltp-paper", "power-bert")
WITH_FLOOR = [n for n in presets() if "least" in find_preset(n).options and n not in OTHERS]


@torch.no_grad()
def run(plan, lengths):
    model, batch = build(plan).eval(), pad(tiny_ids(lengths))
    return model(**batch, output_trace="sizes"), model.under_plan(preset("dense"))(**batch)


@pytest.mark.parametrize("method", WITH_FLOOR)
def test_a_short_text_is_read_whole_and_the_end_of_a_long_one_never_is_less(method):
    output, dense = run(preset(method), SHORT)
    assert output.trace.tokens_alive() == [SHORT] * 4
    torch.testing.assert_close(output.logits, dense.logits, rtol=1e-5, atol=1e-5)
    output, _ = run(preset(method), LONG)
    assert min(map(min, output.trace.tokens_alive())) >= LEAST


@pytest.mark.parametrize("drop", ["tokens", "keys"])
def test_the_papers_key_pruning_stays_as_it_is_and_tokens_that_leave_have_a_floor(drop):
    output, dense = run(preset("focus-pf", keep=0.5, drop=drop), SHORT)
    assert output.trace.tokens_alive() == [SHORT] * 4, "no token leaves either way"
    fewer = [block.keys for block in output.trace.blocks][-1]
    assert (fewer == SHORT) == (drop == "tokens")
    assert torch.allclose(output.logits, dense.logits, atol=1e-5) == (drop == "tokens")
