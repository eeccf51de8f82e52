"""The presets: what their options set, and what is said of options that do not exist."""

from __future__ import annotations

import pytest

from tersely.errors import PlanError
from tersely.methods.focus import Combine, FuzzyRatio
from tersely.reduction import (
    LEAST,
    ColumnMean,
    DropKeys,
    DropTokens,
    Ratio,
    preset,
    preset_options,
    presets,
)

PRUNING = {"keep": 0.9, "heads": "auto", "drop": "keys", "pin": "ends"}
COMBINING = {"combine_at": 7 / 12, "tokens": 8}
AIMING = {"target": 0.5, "strength": 10.0, "pin": "first"}
OPTIONS = {
    "dense": {},
    "focus-p": PRUNING,
    "focus-pf": PRUNING | {"reading": "block"},
    "focus-c": COMBINING,
    "focus-pfc": PRUNING | {"reading": "block"} | COMBINING,
    "topk": {"keep": 0.4, "at": 1 / 3, "score": "column-mean", "linear": False, "pin": "first"},
    "threshold": {"threshold": 0.5, "score": "column-mean", "pin": "first"},
    "lat": {"keep": 0.8, "start": 0, "score": "column-mean", "pin": "first"},
    "token-drop": {
        "keep": 0.5,
        "start": 7 / 12,
        "stop": -1,
        "score": "by-word",
        "pin": "ends",
    },
    "ltp": AIMING | {"threshold": 0.5, "temperature": 0.1, "gradients": False},
    "ltp-once": AIMING | {"at": 1 / 3, "threshold": 0.8, "temperature": 0.1, "gradients": False},
    "ltp-paper": {"threshold": 1.0, "temperature": 0.128, "regularizer": 0.1, "pin": "first"}
    | {"target": 0.0},
    "power-bert": AIMING | {"bins": 100, "regularizer": 0.0},
    "transkimmer": AIMING
    | {"hidden": 32, "regularizer": 0.0, "temperature": 1.0, "noise": True, "bias": 2.0},
    "adapler": AIMING | {"hidden": 32, "saliency": 0.1, "threshold": 0.5, "temperature": 0.1},
    "neighbours": {"width": 64, "start": 0, "cls": True},
    "bigbird": {"width": 96, "random": 0.05, "tokens": 64, "start": 0, "seed": 0},
    "breaking-bert": {
        "target": 0.78,
        "by": "degrees",
        "heads": "mean",
        "most": 512,
        "strength": 10.0,
        "start": 0.5,
    },
    "tome": {"ratio": 0.2, "start": 0},
    "fca": {"keep": 0.25, "at": 1 / 3, "tokens": 1, "weighted": True},
    "pool": {"keep": 0.25, "at": 1 / 3},
    "random": {"keep": 0.25, "at": 1 / 3, "seed": 0},
    "truncate": {"keep": 0.5},
    "fewer-layers": {"keep": 0.5},
}


def test_the_presets_and_their_defaults_are_the_papers():
    found = {name: preset_options(name) for name in presets()}
    floors = {name: options.pop("least") for name, options in found.items() if "least" in options}
    assert found == OPTIONS
    assert presets() == tuple(sorted(OPTIONS))
    # As the papers have it where only keys go, and in the paper's own recipe.
    papers = {"focus-p": 0, "focus-pf": 0, "focus-pfc": 0, "ltp-paper": 1}
    assert {name: least for name, least in floors.items() if least != LEAST} == papers


def test_options_reach_the_parts():
    plan = preset("focus-pfc", keep=0.7, reading="complement", pin="none", combine_at=4, tokens=2)
    pruning, combining = plan.steps
    assert pruning.act == DropKeys()
    assert pruning.score == ColumnMean(heads="each")
    assert pruning.select == FuzzyRatio(least=1, keep=0.7, reading="complement", pin="none")
    assert pruning.blocks == {"start": 0, "stop": 4}
    assert combining.act == Combine(tokens=2)
    assert combining.blocks == 4
    assert type(preset("focus-p").steps[0].select) is Ratio


def test_tokens_that_leave_for_good_are_scored_for_all_heads_together():
    step = preset("focus-pf", drop="tokens").steps[0]
    assert (step.act, step.score) == (DropTokens(), ColumnMean(heads="mean"))
    with pytest.raises(PlanError, match="heads must be 'mean' with drop='tokens'.* got 'each'"):
        preset("focus-pf", drop="tokens", heads="each")


def test_dense_removes_nothing():
    assert preset("dense").is_dense
    assert not preset("focus-c").is_dense
    assert preset("token-drop", least=1).is_dense, "in use"


@pytest.mark.parametrize(
    ("name", "options", "fragment"),
    [
        (
            "focus-x",
            {},
            "focus-c, focus-p, focus-pf, focus-pfc, ",
        ),
        ("topk", {"score": "best"}, "score.kind must be one of by-word, column-mean, first-row, "),
        ("tome", {"ratio": 0.6}, "ratio must be a number in [0, 0.5], got 0.6"),
        ("topk", {"score": "predictor"}, "select must be one that learns for 'predictor', "),
        ("ltp", {"target": 0}, "target must be a number in (0, 1], got 0"),
        ("power-bert", {"bins": 0}, "bins must be a whole number above 0, got 0"),
        ("adapler", {"hidden": 0}, "hidden must be a whole number above 0, got 0"),
        ("transkimmer", {"noise": 1}, "noise must be true or false, got 1"),
        ("fca", {"tokens": 0}, "tokens must be a whole number above 0, got 0"),
        ("dense", {"keep": 1}, "'keep' is not an option of 'dense'; its options are none"),
        ("focus-c", {"keep": 1}, "not an option of 'focus-c'; its options are combine_at, tokens"),
        ("focus-p", {"drop": "all"}, "drop must be 'keys' or 'tokens', got 'all'"),
        ("focus-p", {"keep": 2}, "keep must be a number in (0, 1], got 2"),
        ("focus-pf", {"reading": "x"}, "reading must be 'block' or 'complement', got 'x'"),
        ("focus-p", {"heads": "x"}, "heads must be 'each' or 'mean', got 'x'"),
        ("focus-c", {"combine_at": 1.5}, "blocks must be whole numbers counted from 0"),
        ("focus-c", {"tokens": -1}, "tokens must be a whole number above 0, got -1"),
    ],
)
def test_wrong_options_are_refused(name, options, fragment):
    with pytest.raises(PlanError) as caught:
        preset(name, **options)
    assert fragment in str(caught.value)
