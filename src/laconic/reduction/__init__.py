"""Token reduction as data: scorers, selectors and actions, the plan, and the presets."""

from laconic.reduction.actions import Action, Combine, DropKeys, DropTokens, Fade, SetAside, Skip
from laconic.reduction.combiner import Combiner
from laconic.reduction.degrees import LearnedNeighbours
from laconic.reduction.layers import resolve_layer, resolve_layers
from laconic.reduction.learned import Choice, Learned, Spent
from laconic.reduction.learning import (
    LearnedSelector,
    LearnedShares,
    LearnedSkim,
    LearnedThreshold,
)
from laconic.reduction.likeness import Lexical, Syntax
from laconic.reduction.merging import Fuse, Merge, Pool
from laconic.reduction.parts import Part, register
from laconic.reduction.patterns import GlobalTokens, Neighbours, Pattern, RandomPairs, Union
from laconic.reduction.plan import PLAN_VERSION, Plan
from laconic.reduction.predictor import Predictor
from laconic.reduction.presets import (
    Range,
    budget_option,
    preset,
    preset_options,
    preset_summary,
    presets,
)
from laconic.reduction.resolved import ResolvedPlan
from laconic.reduction.scorers import (
    AttentionScorer,
    ByWord,
    ColumnMean,
    FirstRow,
    HiddenChange,
    Position,
    RandomScore,
    RowMax,
    SampledRows,
    Scorer,
)
from laconic.reduction.selectors import (
    FuzzyRatio,
    LengthDrop,
    LinearRatio,
    Ratio,
    Selector,
    Threshold,
)
from laconic.reduction.shares import has_share, name_untrained, plan_share, with_share
from laconic.reduction.step import Step
from laconic.reduction.stream import Candidates, Observed, Stream
from laconic.reduction.vocabulary import WordImportance
from laconic.reduction.words import Knowledge, Words, words_of

__all__ = [
    "PLAN_VERSION",
    "Action",
    "AttentionScorer",
    "ByWord",
    "Candidates",
    "Choice",
    "ColumnMean",
    "Combine",
    "Combiner",
    "DropKeys",
    "DropTokens",
    "Fade",
    "FirstRow",
    "Fuse",
    "FuzzyRatio",
    "GlobalTokens",
    "Knowledge",
    "Lexical",
    "HiddenChange",
    "Learned",
    "LearnedNeighbours",
    "LearnedSelector",
    "LearnedShares",
    "LearnedSkim",
    "LearnedThreshold",
    "LengthDrop",
    "LinearRatio",
    "Merge",
    "Neighbours",
    "Observed",
    "Part",
    "Pattern",
    "Plan",
    "Pool",
    "Position",
    "Predictor",
    "RandomPairs",
    "RandomScore",
    "Range",
    "Ratio",
    "ResolvedPlan",
    "RowMax",
    "SampledRows",
    "Scorer",
    "Selector",
    "SetAside",
    "Skip",
    "Spent",
    "Step",
    "Stream",
    "Syntax",
    "Threshold",
    "WordImportance",
    "Union",
    "Words",
    "budget_option",
    "has_share",
    "name_untrained",
    "plan_share",
    "preset",
    "preset_options",
    "preset_summary",
    "presets",
    "register",
    "resolve_layer",
    "resolve_layers",
    "with_share",
    "words_of",
]
