"""A plan survives JSON unchanged, and a wrong one is refused with the field and what would do."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import ClassVar

import pytest

from tersely.errors import PlanError
from tersely.methods.focus import Combine
from tersely.methods.tome import Merge
from tersely.reduction import (
    PLAN_VERSION,
    ColumnMean,
    DropKeys,
    DropTokens,
    FirstRow,
    Plan,
    Ratio,
    SampledRows,
    Scorer,
    Selector,
    Step,
    preset,
    preset_options,
    presets,
    register,
)

# For each option of a preset a value that is not the default.
OTHER = {
    "keep": 0.6,
    "least": 3,
    "heads": "mean",
    "reading": "complement",
    "drop": "tokens",
    "pin": "none",
    "combine_at": 11 / 12,
    "tokens": 3,
    "at": 0.5,
    "linear": True,
    "score": "row-max",
    "threshold": 0.8,
    "ratio": 0.1,
    "start": 2,
    "stop": 5,
    "weighted": False,
    "seed": 7,
    "width": 5,
    "cls": False,
    "random": 0.2,
    "by": "ramp",
    "most": 64,
    "target": 0.4,
    "strength": 3.0,
    "hidden": 16,
    "saliency": 0.2,
    "temperature": 0.3,
    "gradients": True,
    "regularizer": 0.2,
    "bins": 7,
    "noise": False,
    "bias": 1.0,
}
# Where that is the default, or cannot be had.
OTHER_OF = {
    ("breaking-bert", "heads"): "each",
    ("ltp-once", "threshold"): 0.6,
}


def through_json(plan: Plan) -> Plan:
    return Plan.from_dict(json.loads(json.dumps(plan.to_dict())))


@pytest.mark.parametrize("name", presets())
def test_presets_survive_json(name):
    plan = preset(name)
    assert through_json(plan) == plan
    assert plan.name == name
    assert plan.to_dict()["version"] == PLAN_VERSION


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in presets() for option in preset_options(name)]
)
def test_every_option_of_a_preset_survives_json_and_changes_the_plan(name, option):
    value = OTHER_OF.get((name, option), OTHER[option])
    plan = preset(name, **{option: value})
    assert through_json(plan) == plan
    assert plan != preset(name)


def test_plans_of_all_kinds_of_parts_survive_json():
    steps = (
        Step(DropKeys(), [0, 1], FirstRow(heads="each"), Ratio(least=1, keep=1, pin="none")),
        Step(
            DropTokens(), 0.5, SampledRows(rows=4, count_combination_tokens=False), Ratio(least=1)
        ),
        Step(Combine(tokens=2, temperature=0.5), -1),
    )
    assert through_json(Plan("mixed", steps)) == Plan("mixed", steps)


def test_fields_left_out_get_their_defaults():
    step = {"blocks": 1, "act": {"kind": "drop-keys"}}
    step |= {"score": {"kind": "column-mean"}, "select": {"kind": "fuzzy-ratio", "keep": 0.5}}
    plan = Plan.from_dict({"version": PLAN_VERSION, "name": "short", "steps": [step]})
    assert plan.steps[0].select.upper == 0.75
    assert plan.steps[0].score == ColumnMean()


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(preset("focus-pf").to_dict()), encoding="utf-8")
    assert Plan.from_file(path) == preset("focus-pf")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(None, "cannot be read: No such file"), ("{", "is not valid JSON"), ("[]", "an object")],
)
def test_a_file_without_a_plan_is_refused(tmp_path, content, fragment):
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(PlanError, match=fragment):
        Plan.from_file(path)


# Where in the dictionary of a good plan a value is put (`...` takes the field out), and what the
# message must then say.
BAD_FIELDS = [
    (("version",), PLAN_VERSION + 1, "plan.version must be 2, got 3; a newer plan needs"),
    (("version",), ..., "plan.version must be 2, got None"),
    (("version",), 1, "plan.version must be 2, got 1; plans of 0.1 are not read any more"),
    (("name",), "", "plan.name must be a string, got ''"),
    (("steps",), {}, "plan.steps must be a list, got {}"),
    (("stages",), 3, "plan.stages is not a field of a plan; its fields are version, name, steps"),
    (("steps", 0), 5, "plan.steps[0] must be an object, got 5"),
    (("steps", 0, "layer"), 1, "plan.steps[0].layer is not a field of a step; its fields are"),
    (("steps", 0, "blocks"), ..., "plan.steps[0].blocks must be given"),
    (("steps", 0, "blocks"), [], "plan.steps[0].blocks must name at least one block"),
    (("steps", 0, "blocks"), [1, 1.5], "fractions of the depth in (0, 1), got 1.5"),
    (("steps", 0, "blocks"), {"from": 1}, "plan.steps[0].blocks has the fields start and stop"),
    (("steps", 0, "act"), ..., "plan.steps[0].act must be given"),
    (("steps", 0, "act", "kind"), "drop", "plan.steps[0].act.kind must be one of combine, drop-k"),
    (("steps", 0, "score"), ..., "plan.steps[0].score must be given for 'drop-keys'"),
    (
        ("steps", 0, "score", "kind"),
        "x",
        "plan.steps[0].score.kind must be one of column-mean, first-row",
    ),
    (("steps", 0, "score", "heads"), "all", "plan.steps[0].score.heads must be 'each' or 'mean'"),
    (
        ("steps", 0, "score", "count_combination_tokens"),
        1,
        "plan.steps[0].score.count_combination_tokens must be true or false, got 1",
    ),
    (("steps", 0, "select", "keep"), 0, "plan.steps[0].select.keep must be a number in (0, 1]"),
    (("steps", 0, "select", "keep"), True, "plan.steps[0].select.keep must be a number"),
    (("steps", 0, "select", "keep"), float("nan"), "plan.steps[0].select.keep must be a number"),
    (("steps", 0, "select", "pin"), "both", "select.pin must be 'ends', 'first' or 'none'"),
    (("steps", 0, "select", "lower"), -0.1, "select.lower must be a number in [0, 1], got -0.1"),
    (("steps", 0, "select", "upper"), 0.2, "select.upper must be at least lower (0.25), got 0.2"),
    (("steps", 0, "select", "unimportant"), None, "select.unimportant must be a number in [0, 1]"),
    (("steps", 0, "select", "share"), 2, "select.share is not a field of 'fuzzy-ratio'; its field"),
    (("steps", 1, "act", "tokens"), 8.0, "plan.steps[1].act.tokens must be a whole number above"),
    (("steps", 1, "act", "temperature"), 0, "act.temperature must be a number in (0, 100], got 0"),
    (("steps", 1, "score"), {"kind": "first-row"}, "steps[1].score must be left out for 'combine'"),
    (("steps", 0, "act"), {"kind": "drop-tokens"}, "score.heads must be 'mean' for 'drop-tokens'"),
    (("steps", 0), {"blocks": 0, "act": {"kind": "combine"}}, "one 'combine' at most, got 2"),
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


def test_resolving_keeps_the_steps_that_can_still_change_something():
    resolved = preset("focus-p").resolve(4)
    # Keys dropped at the last block would be dropped from nothing.
    assert [len(resolved.at(layer)) for layer in range(4)] == [1, 1, 1, 0]
    resolved = preset("focus-pfc", combine_at=2).resolve(4)
    assert resolved.replaced == {2: Combine()}
    # The combining module takes all tokens in, so keys are not dropped just before it.
    assert [len(resolved.at(layer)) for layer in range(4)] == [1, 0, 0, 0]
    resolved = preset("focus-pfc", combine_at=2, drop="tokens").resolve(4)
    assert [len(resolved.at(layer)) for layer in range(4)] == [1, 1, 0, 0]


def pruning(blocks: object) -> Step:
    return Step(DropKeys(), blocks, ColumnMean(), Ratio(least=1))


@pytest.mark.parametrize(
    ("steps", "fragment"),
    [
        ([pruning(6)], "plan.steps[0].blocks must be a block of this encoder, 0 to 5"),
        ([Step(Combine(), [1, 3])], "a 'combine' step must name one block, got [1, 3]"),
        ([pruning(3), Step(Combine(), 3)], "must come before block 3, where 'combine'"),
        ([Step(Combine(), 0.5), pruning(0), pruning(4)], "got a step at block 4"),
    ],
)
def test_a_plan_that_does_not_fit_the_encoder_is_refused(steps, fragment):
    with pytest.raises(PlanError) as caught:
        Plan("wrong", steps).resolve(6)
    assert fragment in str(caught.value)


@pytest.fixture
def forgotten(monkeypatch):
    """Parts that a test registers are unknown again after it."""
    from tersely.reduction import parts

    fresh = {role: dict(kinds) for role, kinds in parts._REGISTRY.items()}
    monkeypatch.setattr(parts, "_REGISTRY", fresh)


@pytest.mark.usefixtures("forgotten")
def test_a_registered_part_is_known_to_plans():
    @register
    @dataclasses.dataclass(frozen=True)
    class EveryOther(Selector):
        kind: ClassVar[str] = "every-other"
        phase: int = 0

    plan = Plan("odd", (Step(DropKeys(), 0, ColumnMean(), EveryOther(phase=1)),))
    assert through_json(plan) == plan
    register(EveryOther)  # once more is no conflict: a module may be reloaded


@pytest.mark.usefixtures("forgotten")
def test_two_parts_cannot_share_a_kind():
    class Mine(Scorer):
        kind: ClassVar[str] = "column-mean"

    with pytest.raises(ValueError, match="the score kind 'column-mean' is taken by"):
        register(Mine)

    class Free(Selector):
        kind: ClassVar[str] = "column-mean"  # of another role

    assert register(Free) is Free


def choosing(act: type, blocks: object, **score: object) -> Step:
    return Step(act(), blocks, ColumnMean(**score), Ratio(least=1))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([choosing(DropKeys, 0), choosing(DropTokens, 0)], "got 2 steps at block 0"),
        (
            [choosing(DropKeys, 0, heads="each"), choosing(DropTokens, 2)],
            "score.heads must be 'each' at block 2",
        ),
        (
            [choosing(DropKeys, 0, heads="each"), Step(Merge(least=1, ratio=0.2), 2)],
            "act must be 'drop-keys' at block 2, .* got 'merge'",
        ),
        (
            [choosing(DropKeys, 1), choosing(DropTokens, 3, diagonal=False)],
            "score.diagonal must be true at block 3, .* from block 1 on",
        ),
        ([choosing(DropTokens, {"start": 5, "stop": 3})], "come after start"),
    ],
)
def test_steps_that_exclude_each_other_are_refused(steps, message):
    with pytest.raises(PlanError, match=message):
        Plan("wrong", steps).resolve(6)
