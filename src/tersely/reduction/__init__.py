"""Token reduction as data: scorers, selectors and actions, the plan, and the presets."""

from tersely.reduction.actions import Action, Combine, DropKeys, DropTokens, Fade, SetAside, Skip
from tersely.reduction.combiner import Combiner
from tersely.reduction.degrees import LearnedNeighbours
from tersely.reduction.layers import resolve_layer, resolve_layers
from tersely.reduction.learned import Choice, Learned, Spent
from tersely.reduction.learning import (
    LearnedSelector,
    LearnedShares,
    LearnedSkim,
    LearnedThreshold,
)
from tersely.reduction.likeness import Lexical, Syntax
from tersely.reduction.merging import Fuse, Merge, Pool
from tersely.reduction.parts import Part, register
from tersely.reduction.patterns import GlobalTokens, Neighbours, Pattern, RandomPairs, Union
from tersely.reduction.plan import PLAN_VERSION, Plan
from tersely.reduction.predictor import Predictor
from tersely.reduction.presets import (
    Range,
    budget_option,
    preset,
    preset_options,
    preset_summary,
    presets,
)
from tersely.reduction.resolved import ResolvedPlan
from tersely.reduction.scorers import (
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
from tersely.reduction.selectors import (
    FuzzyRatio,
    LengthDrop,
    LinearRatio,
    Ratio,
    Selector,
    Threshold,
)
from tersely.reduction.shares import has_share, name_untrained, plan_share, with_share
from tersely.reduction.step import Step
from tersely.reduction.stream import Candidates, Observed, Stream
from tersely.reduction.vocabulary import WordImportance
from tersely.reduction.words import Knowledge, Words, words_of

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
