"""Token reduction as data: the framework that methods are written in.

A plan says at which blocks tokens are scored, selected and acted upon. Its parts and the presets
that make plans are registered by the files of `tersely.methods`.
"""

# ruff: noqa: F401 - these are the names that methods and the rest of the library are written with.
from tersely.reduction.actions import Action, BlockCost, BlockModule, DropKeys, DropTokens
from tersely.reduction.parts import Budget, Learned, Part, Range, Spent, register
from tersely.reduction.patterns import Knowledge, Pattern
from tersely.reduction.plan import PLAN_VERSION, Plan, ResolvedPlan, Stage
from tersely.reduction.presets import (
    budget_option,
    find_preset,
    has_share,
    name_untrained,
    plan_share,
    preset,
    presets,
    read_options,
    read_value,
    register_preset,
    with_share,
)
from tersely.reduction.scorers import ColumnMean, Scorer
from tersely.reduction.selectors import LEAST, LearnedSelector, Ratio, Selector, Threshold
from tersely.reduction.step import INPUT, Step, resolve_block, resolve_blocks
from tersely.reduction.stream import Candidates, Choice, Observed, Stream
