"""Token reduction as data: scorers, selectors and actions, the plan, and the presets."""

from laconic.reduction.actions import Action, Combine, DropKeys, DropTokens
from laconic.reduction.combiner import Combiner
from laconic.reduction.layers import resolve_layer, resolve_layers
from laconic.reduction.parts import Part, register
from laconic.reduction.plan import PLAN_VERSION, Plan, ResolvedPlan, Step
from laconic.reduction.presets import preset, preset_options, preset_summary, presets
from laconic.reduction.scorers import ColumnMean, FirstRow, SampledRows, Scorer
from laconic.reduction.selectors import FuzzyRatio, Ratio, Selector
from laconic.reduction.stream import Candidates, Stream

__all__ = [
    "PLAN_VERSION",
    "Action",
    "Candidates",
    "ColumnMean",
    "Combine",
    "Combiner",
    "DropKeys",
    "DropTokens",
    "FirstRow",
    "FuzzyRatio",
    "Part",
    "Plan",
    "Ratio",
    "ResolvedPlan",
    "SampledRows",
    "Scorer",
    "Selector",
    "Step",
    "Stream",
    "preset",
    "preset_options",
    "preset_summary",
    "presets",
    "register",
    "resolve_layer",
    "resolve_layers",
]
