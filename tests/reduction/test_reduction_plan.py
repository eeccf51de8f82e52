"""A plan survives JSON unchanged, and a wrong one is refused with the field and what would do."""

import copy
import json
from functools import partial

import pytest

from tersely.errors import PlanError
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.controls import Position, RandomScore, Skip
from tersely.methods.focus import Combine
from tersely.methods.ltp import LearnedThreshold
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, Union
from tersely.methods.tome import Merge
from tersely.reduction import (
    PLAN_VERSION,
    ColumnMean,
    DropKeys,
    DropTokens,
    Plan,
    Ratio,
    Scorer,
    Selector,
    Step,
    Threshold,
    budget_option,
    find_preset,
    plan_share,
    preset,
    presets,
    read_options,
    register,
    resolve_block,
    resolve_blocks,
    with_share,
)

# Words that are not the default of an option, whatever the preset.
OTHER_WORDS = {"heads": "mean", "reading": "complement", "drop": "tokens", "pin": "none"}
OTHER_WORDS |= {"score": "random", "unit": "neighbours", "of": "importance"}


def other_value(name: str, option: str) -> object:
    """A value of a preset's option that is not the default."""
    default = find_preset(name).options[option]
    if default is None:
        return 3
    if isinstance(default, str):
        return "each" if default == "mean" else OTHER_WORDS[option]
    if isinstance(default, bool):
        return not default
    return default + 2 if isinstance(default, int) else 0.9 * default + 0.03


def through_json(plan: Plan) -> Plan:
    return Plan.from_dict(json.loads(json.dumps(plan.to_dict())))


@pytest.mark.parametrize("name", presets())
def test_every_option_of_a_preset_survives_json_and_changes_the_plan(name):
    default = preset(name)
    assert through_json(default) == default and default.name == name
    for option in find_preset(name).options:
        plan = preset(name, **{option: other_value(name, option)})
        assert through_json(plan) == plan
        assert plan != default, option


def test_fields_left_out_get_their_defaults():
    step = {"blocks": 1, "act": {"kind": "drop-keys"}}
    step |= {"score": {"kind": "column-mean"}, "select": {"kind": "fuzzy-ratio", "keep": 0.5}}
    plan = Plan.from_dict({"version": PLAN_VERSION, "name": "short", "steps": [step]})
    assert plan.steps[0].select.reading == "block"
    assert plan.steps[0].score == ColumnMean()


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        Plan.from_file(path)
    path.write_text(json.dumps(preset("focus-pf").to_dict()), encoding="utf-8")
    assert Plan.from_file(path) == preset("focus-pf")
    for content, fragment in (("{", "is not valid JSON"), ("[]", "an object")):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(PlanError, match=fragment):
            Plan.from_file(path)


# Where in the dictionary of a good plan a value is put (`...` takes the field out), and what the
# message must then say.
SELECT, SCORE = ("steps", 0, "select"), ("steps", 0, "score")
BAD_FIELDS = [
    (("version",), PLAN_VERSION + 1, "plan.version must be 2, got 3; a newer plan needs"),
    (("version",), ..., "plan.version must be 2, got None"),
    (("version",), 1, "plan.version must be 2, got 1; write a plan of version 0.1 again"),
    (("name",), "", "plan.name must be a string, got ''"),
    (("stages",), 3, "plan.stages is not a field of a plan; its fields are version, name, steps"),
    (("steps", 0, "layer"), 1, "plan.steps[0].layer is not a field of a step; its fields are"),
    (("steps", 0, "blocks"), ..., "plan.steps[0].blocks is missing"),
    (("steps", 0, "blocks"), [], "plan.steps[0].blocks must name at least one block"),
    (("steps", 0, "blocks"), [1, 1.5], "fractions of the depth in (0, 1), got 1.5"),
    (
        ("steps", 0, "blocks"),
        {"from": 1},
        "plan.steps[0].blocks may have the fields",
    ),
    (("steps", 0, "act", "kind"), "drop", "plan.steps[0].act.kind must be one of absorb, combine"),
    (SCORE, ..., "plan.steps[0].score must be given for 'drop-keys'"),
    ((*SCORE, "heads"), "all", "plan.steps[0].score.heads must be 'each' or 'mean'"),
    ((*SCORE, "values"), 1, "plan.steps[0].score.values must be true or false, got 1"),
    ((*SELECT, "keep"), 0, "plan.steps[0].select.keep must be a number in (0, 1]"),
    ((*SELECT, "keep"), float("nan"), "plan.steps[0].select.keep must be a number"),
    ((*SELECT, "pin"), "both", "select.pin must be 'ends', 'first' or 'none'"),
    ((*SELECT, "share"), 2, "select.share is not a field of 'fuzzy-ratio'; its field"),
    (("steps", 1, "act", "tokens"), 8.0, "plan.steps[1].act.tokens must be a whole number above"),
    (("steps", 1, "score"), {"kind": "column-mean"}, "score must be left out for 'combine'"),
    (("steps", 0), {"blocks": 0, "act": {"kind": "combine"}}, "one 'combine' step, got 2"),
]


@pytest.mark.parametrize(("path", "value", "fragment"), BAD_FIELDS)
def test_a_wrong_field_is_named_with_what_would_do(path, value, fragment):
    data = copy.deepcopy(preset("focus-pfc").to_dict())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(PlanError) as caught:
        Plan.from_dict(data)
    assert fragment in str(caught.value)


NEAR = Neighbours(width=2)
ONE, LEARNED = Ratio(least=1), LearnedThreshold(least=1)


def choosing(act: type, blocks: object, **score: object) -> Step:
    return Step(act(), blocks, ColumnMean(**score), Ratio(least=1))


HEADS = choosing(DropKeys, 0, heads="each")
OPTIONS = [
    ("focus-x", {}, "focus-c, focus-p, focus-pf, focus-pfc, "),
    ("topk", {"score": "best"}, "score.kind must be one of column-mean, "),
    ("topk", {"score": "predictor"}, "select must be one that learns for 'predictor', "),
    ("dense", {"keep": 1}, "'keep' is not an option of 'dense'; its options are none"),
    ("focus-p", {"drop": "tokens", "heads": "each"}, "score.heads must be 'mean' for 'drop-t"),
]
SETTINGS = [
    (lambda: Neighbours(), "width must be given, or share in its place, not both, got None"),
    (lambda: Neighbours(width=[1, 2.5]), "width must be whole numbers of 0 or more"),
    (lambda: Neighbours(widths=[1], width=2), "widths must be given without width and share"),
    (lambda: GlobalTokens(tokens=True), "tokens must be a whole number of 0 or more"),
    (lambda: Union(of=[{"kind": "drop-keys"}]), "of must be a list of patterns"),
    (lambda: Union(of=[{"kind": "neighbours", "wide": 1}]), "of[0].wide is not a field of"),
    (lambda: Union(of=[LearnedNeighbours()]), "a list of patterns that do not learn"),
    (lambda: Threshold(thresholds=0.5), "thresholds must be a list of numbers in"),
    (lambda: RandomScore(seed=0.5), "seed must be a whole number, got 0.5"),
    (lambda: Step(DropKeys(), "input", Position(), ONE), "act must be 'drop-tokens' at blocks"),
    (lambda: Step(DropTokens(), "input", ColumnMean(), ONE), "needs no attention ('position', 'r"),
    (lambda: Step(DropTokens(), "input", Position(), LEARNED), "one that learns nothing at blocks"),
    (lambda: Step(NEAR, 1, ColumnMean()), "score must be left out for 'neighbours'"),
    (lambda: Step(DropKeys(), 1, ColumnMean(), LEARNED), "which learns, can train, such as"),
    (
        lambda: Plan("two", [Step(LearnedNeighbours(), n) for n in (0, 1)]),
        "step with a learned",
    ),
    (lambda: Plan("two", 2 * preset("choose", score="saliency").steps), "that learns at the input"),
]
# Of an encoder of six blocks.
STEPS = [
    ([choosing(DropKeys, 6)], "plan.steps[0].blocks must be a block of this encoder, 0 to 5"),
    ([choosing(DropKeys, {"stop": -8})], "blocks.stop must be a block of this encoder"),
    ([choosing(DropKeys, {"start": 5, "stop": 3})], "come after start"),
    ([Step(Combine(), [1, 3])], "a 'combine' step must name one block, got [1, 3]"),
    ([Step(Combine(), 0.5), choosing(DropKeys, [0, 4])], "leaves no tokens to the one at block 4"),
    ([Step(NEAR, 3), Step(Combine(), 3)], "'combine' at block 3 must be the last"),
    ([Step(NEAR, 3), Step(Skip(keep=0.5), {"start": 0})], "block 3 is skipped, so no other"),
    ([choosing(DropKeys, 0), choosing(DropTokens, 0)], "got 2 at block 0"),
    ([Step(NEAR, 1), Step(Lexical(), [0, 1])], "got 'neighbours' and 'lexical' at block 1"),
    ([Step(Neighbours(widths=[1, 2]), [0, 1, 2])], "widths must be one for each of the step's"),
    ([HEADS, choosing(DropTokens, 2)], "score.heads must be 'each' at block 2"),
    (
        [HEADS, Step(Merge(least=1, ratio=0.2), 2)],
        "each head has had its own keys from block",
    ),
    (
        [choosing(DropKeys, 1), choosing(DropTokens, 3, diagonal=False)],
        "score.diagonal must be true at block 3, since the tokens dropped as keys from block 1",
    ),
]
REFUSED = [(partial(preset, name, **options), said) for name, options, said in OPTIONS] + SETTINGS
REFUSED += [(lambda own=steps: Plan("wrong", own).resolve(6), said) for steps, said in STEPS]


@pytest.mark.parametrize(("make", "fragment"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_does_not_fit_itself_or_the_encoder_is_refused(make, fragment):
    with pytest.raises(PlanError) as caught:
        make()
    assert fragment in str(caught.value)


def test_resolving_keeps_the_steps_that_can_still_change_something():
    def steps(plan: Plan) -> list[int]:
        resolved = plan.resolve(4)
        return [len(resolved.at(block)) for block in range(4)]

    # Keys dropped at the last block would be dropped from nothing.
    assert steps(preset("focus-p")) == [1, 1, 1, 0]
    # The combining module takes all tokens in, so keys are not dropped just before it.
    assert steps(preset("focus-pfc", combine_at=2)) == [1, 0, 0, 0]
    assert steps(preset("focus-pfc", combine_at=2, drop="tokens")) == [1, 1, 0, 0]


def test_a_pattern_may_stand_beside_a_step_that_chooses():
    steps = [Step(NEAR, {"start": 0}), choosing(DropTokens, 1)]
    resolved = Plan("both", steps).resolve(3)
    assert resolved.patterns == dict.fromkeys(range(3), NEAR)
    assert [step.act.kind for step in resolved.at(1)] == ["drop-tokens"]


def test_a_registered_part_is_known_to_plans_and_two_cannot_share_a_kind(own_registry):
    def make() -> type[Selector]:
        @register("every-other")
        class EveryOther(Selector):
            phase: int = 0

        return EveryOther

    plan = Plan("odd", (Step(DropKeys(), 0, ColumnMean(), make()(phase=1)),))
    assert through_json(plan) == plan
    make()  # no conflict: a module may be reloaded
    with pytest.raises(ValueError, match="the score 'column-mean' exists already"):
        register("column-mean")(type("Mine", (Scorer,), {}))
    free = type("Free", (Selector,), {})  # of another role
    assert register("column-mean")(free) is free


# ---- shares --------------------------------------------------------------------------------

# Dense has no budget, and breaking-bert aims at a sparsity by an option of its own.
WITH_BUDGET = [name for name in presets() if name not in ("dense", "breaking-bert")]
SHARES = ("keep", "ratio", "threshold")
BY_SHARE = {n: budget_option(n, 6) for n in WITH_BUDGET if budget_option(n, 6)[0] in SHARES}


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
        with pytest.raises(PlanError, match="needs a plan that keeps a share"):
            plan_share(plan, 6)
    with pytest.raises(PlanError, match="keep cannot be changed in the plan 'tome'.*is ratio"):
        with_share(preset("tome", least=1), keep=0.5)
    with pytest.raises(PlanError, match="keep cannot be changed in the plan 'dense'.*is nothing"):
        with_share(preset("dense"), keep=0.5)
    with pytest.raises(PlanError, match=r"keep must be a number in \(0, 1\], got 2"):
        with_share(preset("lat", least=1), keep=2)


def test_options_that_stand_as_text_have_the_types_of_their_defaults():
    found = read_options("focus-c", {"combine_at": "7/12", "tokens": "4"})
    assert found == {"combine_at": 7 / 12, "tokens": 4} and isinstance(found["tokens"], int)
    found = read_options("choose", {"most": "64", "score": "linear", "random_budgets": "true"})
    assert found == {"most": 64, "score": "linear", "random_budgets": True}
    for wrong in ({"linear": "perhaps"}, {"keep": "1/0"}):
        with pytest.raises(PlanError, match="must be"):
            preset("topk", **read_options("topk", wrong))


# ---- blocks --------------------------------------------------------------------------------


# A fraction is never the last block, and never one before the first.
NUMBERS = [(7 / 12, 12, 6), (7 / 12, 6, 3), (11 / 12, 24, 21), (0.5, 3, 1)]
NUMBERS += [(0.99, 12, 10), (0.01, 12, 0), (-1, 12, 11)]
LISTS = [([3, 1, -5], [1, 3]), ((0.5, 5), [2, 5]), ({"start": 1, "stop": 4}, [1, 2, 3])]
LISTS += [({"start": -2}, [4, 5]), ({"stop": -2}, [0, 1, 2, 3]), ({"start": 0, "stop": 0}, [])]
LISTS += [({"start": 0, "stop": 7 / 12}, [0, 1, 2]), ({"start": 0.5, "stop": None}, [2, 3, 4, 5])]


def test_a_number_or_a_fraction_stands_for_a_block_also_in_lists_and_ranges():
    for given, depth, block in NUMBERS:
        assert resolve_block(given, depth) == block
        assert resolve_blocks(given, depth) == [block]
    for given, blocks in LISTS:
        assert resolve_blocks(given, 6) == blocks
