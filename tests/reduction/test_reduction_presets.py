"""The presets: what their options set, and what is said of options that do not exist."""

from __future__ import annotations

import pytest

from tersely.errors import PlanError
from tersely.methods.focus import Combine, FuzzyRatio
from tersely.reduction import (
    LEAST,
    ColumnMean,
    DropTokens,
    preset,
    preset_options,
    presets,
)


def test_the_defaults_are_the_papers():
    pruning, combining = preset("focus-pfc").steps
    assert pruning.select == FuzzyRatio(keep=0.9, reading="block", pin="ends", least=1)
    assert (combining.act, combining.blocks) == (Combine(tokens=8), 7 / 12)
    found = {name: preset_options(name).get("least", LEAST) for name in presets()}
    # As the papers have it where only keys go, and in the paper's own recipe.
    papers = {"focus-p": 0, "focus-pf": 0, "focus-pfc": 0, "ltp-paper": 1}
    assert {name: least for name, least in found.items() if least != LEAST} == papers


def test_tokens_that_leave_for_good_are_scored_for_all_heads_together():
    step = preset("focus-pf", drop="tokens").steps[0]
    assert (step.act, step.score) == (DropTokens(), ColumnMean(heads="mean"))
    with pytest.raises(PlanError, match="heads must be 'mean' with drop='tokens'.* got 'each'"):
        preset("focus-pf", drop="tokens", heads="each")


@pytest.mark.parametrize(
    ("name", "options", "fragment"),
    [
        ("focus-x", {}, "focus-c, focus-p, focus-pf, focus-pfc, "),
        ("topk", {"score": "best"}, "score.kind must be one of column-mean, first-row, "),
        ("tome", {"ratio": 0.6}, "ratio must be a number in [0, 0.5], got 0.6"),
        ("topk", {"score": "predictor"}, "select must be one that learns for 'predictor', "),
        ("ltp", {"target": 0}, "target must be a number in (0, 1], got 0"),
        ("dense", {"keep": 1}, "'keep' is not an option of 'dense'; its options are none"),
        ("focus-p", {"drop": "all"}, "drop must be 'keys' or 'tokens', got 'all'"),
    ],
)
def test_wrong_options_are_refused(name, options, fragment):
    with pytest.raises(PlanError) as caught:
        preset(name, **options)
    assert fragment in str(caught.value)
