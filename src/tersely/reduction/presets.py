"""Presets: plans under the names of their papers, with the papers' defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import NamedTuple

from tersely.errors import PlanError
from tersely.reduction.actions import Combine, DropKeys, DropTokens, SetAside, Skip
from tersely.reduction.learned_presets import (
    adapler,
    breaking_bert,
    ltp,
    ltp_once,
    ltp_paper,
    power_bert,
    transkimmer,
)
from tersely.reduction.merging import Fuse, Merge, Pool
from tersely.reduction.patterns import GlobalTokens, Neighbours, RandomPairs, Union
from tersely.reduction.plan import Plan
from tersely.reduction.scorers import ColumnMean, Position, RandomScore, Scorer
from tersely.reduction.selectors import FuzzyRatio, LengthDrop, LinearRatio, Ratio, Threshold
from tersely.reduction.step import Step

__all__ = [
    "Range",
    "budget_option",
    "budget_ranges",
    "preset",
    "preset_options",
    "preset_summary",
    "presets",
]


def dense() -> Plan:
    """Nothing is removed: the encoder as it is, on packed batches."""
    return Plan("dense")


def focus_p(keep: float = 0.9, heads: str = "auto", drop: str = "keys", pin: str = "ends") -> Plan:
    """Token pruning by ratio, in every block (Focus on the Core, arXiv 2406.01283, P)."""
    select = Ratio(keep=keep, pin=pin)
    return Plan("focus-p", (_pruning(select, heads, drop, None),))


def focus_pf(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "layer",
    drop: str = "keys",
    pin: str = "ends",
) -> Plan:
    """Fuzzy token pruning, in every block (Focus on the Core, arXiv 2406.01283, PF)."""
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    return Plan("focus-pf", (_pruning(select, heads, drop, None),))


def focus_c(combine_at: int | float = 7 / 12, tokens: int = 8) -> Plan:
    """Token combining alone (Focus on the Core, arXiv 2406.01283, C)."""
    return Plan("focus-c", (Step(Combine(tokens=tokens), combine_at),))


def focus_pfc(
    keep: float = 0.9,
    heads: str = "auto",
    reading: str = "layer",
    drop: str = "keys",
    pin: str = "ends",
    combine_at: int | float = 7 / 12,
    tokens: int = 8,
) -> Plan:
    """Fuzzy pruning before a combining block (Focus on the Core, arXiv 2406.01283, PFC).

    The block is the paper's fast variant, the seventh of twelve, since that is what saves time; its
    more careful one is `combine_at=11/12`.
    """
    select = FuzzyRatio(keep=keep, reading=reading, pin=pin)
    pruning = _pruning(select, heads, drop, combine_at)
    return Plan("focus-pfc", (pruning, Step(Combine(tokens=tokens), combine_at)))


def topk(
    keep: float = 0.4,
    at: int | float = 1 / 3,
    score: str = "column-mean",
    linear: bool = False,
    pin: str = "first",
) -> Plan:
    """Keep the best scored tokens from one block on, or with linear keep rates (LTP's baseline).

    By default at one block, since few points of reduction did better than one for each block; on
    six blocks and documents of some 200 tokens, 0.4 is about half of the MACs. With
    `linear`, at every block from the first one, as in Learned Token Pruning (arXiv 2107.00910).
    """
    scorer = _scorer(score)
    if linear:
        step = Step(DropTokens(), {"start": 0}, scorer, LinearRatio(keep=keep, pin=pin))
    else:
        step = Step(DropTokens(), at, scorer, Ratio(keep=keep, pin=pin))
    return Plan("topk", (step,))


def threshold(threshold: float = 0.5, score: str = "column-mean", pin: str = "first") -> Plan:
    """Drop tokens below thresholds that rise from block to block (LTP's baseline)."""
    select = Threshold(threshold=threshold, pin=pin)
    return Plan("threshold", (Step(DropTokens(), {"start": 0}, _scorer(score), select),))


def random(keep: float = 0.25, at: int | float = 1 / 3, seed: int = 0) -> Plan:
    """Keep random tokens from one block on; a control."""
    select = Ratio(keep=keep, pin="first")
    return Plan("random", (Step(DropTokens(), at, RandomScore(seed=seed), select),))


def truncate(keep: float = 0.5) -> Plan:
    """Keep the beginning of each document, from the embedding on; a control."""
    select = Ratio(keep=keep, pin="first")
    return Plan("truncate", (Step(DropTokens(), "input", Position(), select),))


def fewer_layers(keep: float = 0.5) -> Plan:
    """The first blocks of the encoder only; a control."""
    return Plan("fewer-layers", (Step(Skip(keep=keep), {"start": 0}),))


def pool(keep: float = 0.25, at: int | float = 1 / 3) -> Plan:
    """Adaptive average pooling of neighbours at one block."""
    return Plan("pool", (Step(Pool(keep=keep), at),))


def lat(
    keep: float = 0.8, start: int | float = 0, score: str = "column-mean", pin: str = "first"
) -> Plan:
    """Drop a share of the tokens at every block, trained for all shares (LAT, arXiv 2010.07003).

    One checkpoint serves every budget from that of `keep` to the dense model's.
    """
    step = Step(DropTokens(), {"start": start}, _scorer(score), LengthDrop(keep=keep, pin=pin))
    return Plan("lat", (step,))


def token_drop(
    keep: float = 0.5,
    start: int | float = 7 / 12,
    stop: int | float = -1,
    score: str = "by-word",
    pin: str = "ends",
) -> Plan:
    """Half of the tokens miss the later blocks, in training only (Hou et al., arXiv 2203.13240).

    They come back before the block `stop`, the last one; the trained model is dense.
    """
    step = Step(
        SetAside(), {"start": start, "stop": stop}, _scorer(score), Ratio(keep=keep, pin=pin)
    )
    return Plan("token-drop", (step,))


def tome(ratio: float = 0.2, start: int | float = 0, rule: str = "mean") -> Plan:
    """Merge the most similar tokens at every block (ToMe, arXiv 2210.09461)."""
    return Plan("tome", (Step(Merge(ratio=ratio, rule=rule), {"start": start}),))


def fca(
    keep: float = 0.25,
    at: int | float = 1 / 3,
    tokens: int = 1,
    weighted: bool = True,
) -> Plan:
    """Keep the best scored tokens, and the others as coarse ones (FCA-BERT, arXiv 2203.09055)."""
    action = Fuse(tokens=tokens, weighted=weighted)
    select = Ratio(keep=keep, pin="first")
    return Plan("fca", (Step(action, at, ColumnMean(diagonal=False), select),))


def neighbours(width: int = 64, start: int | float = 0, cls: bool = True) -> Plan:
    """Tokens see their neighbours and [CLS] only (Breaking BERT, arXiv 2210.03841)."""
    return Plan("neighbours", (Step(Neighbours(width=width, cls=cls), {"start": start}),))


def bigbird(
    width: int = 96,
    random: float = 0.05,
    tokens: int = 64,
    start: int | float = 0,
    seed: int = 0,
) -> Plan:
    """Neighbours, random pairs and global first tokens together (BigBird, arXiv 2007.14062).

    The defaults are near BigBird's own on 4,096 tokens: three blocks of 64 keys in the window,
    three of them at random, and global tokens; ours are first tokens only, and go by single tokens.
    """
    parts = (
        Neighbours(width=width),
        RandomPairs(share=random, seed=seed),
        GlobalTokens(tokens=tokens),
    )
    return Plan("bigbird", (Step(Union(of=parts), {"start": start}),))


def _scorer(kind: str) -> Scorer:
    """A scorer by its kind; "column-mean-values" and the like weight by the value's norm."""
    name, weighted, rest = kind.partition("-values")
    data = {"kind": name} | ({"values": True} if weighted and not rest else {})
    return Scorer.from_dict(data, "score")


def _pruning(select: Ratio, heads: str, drop: str, stop: int | float | None) -> Step:
    """The pruning step; `heads="auto"` gives each head its own keys where only keys go."""
    actions = {"keys": DropKeys, "tokens": DropTokens}
    if drop not in actions:
        raise PlanError(f"drop must be 'keys' or 'tokens', got {drop!r}")
    if drop == "tokens" and heads == "each":
        raise PlanError(
            "heads must be 'mean' with drop='tokens', since a token that leaves for good leaves "
            "all heads, got 'each'"
        )
    if heads == "auto":
        heads = "each" if drop == "keys" else "mean"
    score = ColumnMean(heads=heads)
    return Step(actions[drop](), {"start": 0, "stop": stop}, score, select)


_PRESETS: dict[str, Callable[..., Plan]] = {
    "dense": dense,
    "focus-p": focus_p,
    "focus-pf": focus_pf,
    "focus-c": focus_c,
    "focus-pfc": focus_pfc,
    "topk": topk,
    "threshold": threshold,
    "ltp": ltp,
    "ltp-once": ltp_once,
    "ltp-paper": ltp_paper,
    "power-bert": power_bert,
    "transkimmer": transkimmer,
    "adapler": adapler,
    "lat": lat,
    "token-drop": token_drop,
    "tome": tome,
    "fca": fca,
    "pool": pool,
    "random": random,
    "truncate": truncate,
    "fewer-layers": fewer_layers,
    "neighbours": neighbours,
    "bigbird": bigbird,
    "breaking-bert": breaking_bert,
}


class Range(NamedTuple):
    """The two ends between which an option may be any number; a plain tuple lists its values.

    Example:
        >>> Range(0.01, 1.0).high
        1.0
    """

    low: float
    high: float


_WIDTHS = tuple(2**power for power in range(3, 13))


# The option of each preset that moves its cost: the ends of a range, or "blocks" for every block
# that can combine, "shares" for every number of blocks, or "widths" for the powers of two. Methods
# that learn aim at a target.
_BUDGETS: dict[str, tuple[str, Range | str]] = {
    "focus-p": ("keep", Range(0.01, 1.0)),
    "focus-pf": ("keep", Range(0.01, 1.0)),
    "focus-c": ("combine_at", "blocks"),
    "focus-pfc": ("combine_at", "blocks"),
    "topk": ("keep", Range(0.01, 1.0)),
    "threshold": ("threshold", Range(0.0, 10.0)),
    "ltp": ("target", Range(0.0, 1.0)),
    "ltp-once": ("target", Range(0.0, 1.0)),
    "ltp-paper": ("target", Range(0.0, 1.0)),
    "power-bert": ("target", Range(0.0, 1.0)),
    "transkimmer": ("target", Range(0.0, 1.0)),
    "adapler": ("target", Range(0.0, 1.0)),
    "lat": ("keep", Range(0.01, 1.0)),
    "tome": ("ratio", Range(0.0, 0.5)),
    "fca": ("keep", Range(0.01, 1.0)),
    "pool": ("keep", Range(0.01, 1.0)),
    "random": ("keep", Range(0.01, 1.0)),
    "truncate": ("keep", Range(0.01, 1.0)),
    "fewer-layers": ("keep", "shares"),
    "neighbours": ("width", "widths"),
    "bigbird": ("width", "widths"),
}


def budget_option(name: str, depth: int) -> tuple[str, Range | tuple[float, ...]]:
    """The option of a preset that moves its cost, and its values on an encoder of so many blocks.

    Args:
        name: one of `presets()`.
        depth: blocks of the encoder.

    Returns:
        The option's name, and its `Range`, or a plain tuple of all values that it may have.

    Raises:
        PlanError: if the preset has none, or nothing to choose from on so few blocks.
    """
    _find(name)
    if name not in _BUDGETS:
        raise PlanError(
            f"the method must be one of {', '.join(_BUDGETS)} for a target, got {name!r}"
        )
    option, values = _BUDGETS[name]
    if values == "blocks":
        if depth < 2:
            raise PlanError(
                f"{name!r} needs an encoder of at least 2 blocks for a target, got {depth}"
            )
        return option, tuple(range(depth - 1))
    if values == "widths":
        return option, _WIDTHS
    if values == "shares":
        return option, tuple(blocks / depth for blocks in range(1, depth + 1))
    return option, values


def budget_ranges() -> dict[str, Range]:
    """The shares that move the cost of some preset, and their ranges."""
    shares = {option: ends for option, ends in _BUDGETS.values() if isinstance(ends, Range)}
    shares.pop("target")  # an aim of training, of no meaning to a trained model
    return shares


def presets() -> tuple[str, ...]:
    """The presets' names, sorted."""
    return tuple(sorted(_PRESETS))


def preset_options(name: str) -> dict[str, object]:
    """The options of a preset and their defaults."""
    return {key: p.default for key, p in inspect.signature(_find(name)).parameters.items()}


def preset_summary(name: str) -> str:
    """What a preset does, in one line."""
    return (inspect.getdoc(_find(name)) or "").partition("\n")[0]


def preset(name: str, **options: object) -> Plan:
    """Make the plan of a preset.

    Args:
        name: one of `presets()`.
        **options: the preset's settings; see its docstring.

    Raises:
        PlanError: for a preset or an option that does not exist; the message lists those that do.

    Example:
        >>> preset("focus-pfc", combine_at=0.5).combine.tokens
        8
    """
    make = _find(name)
    known = preset_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise PlanError(
            f"{unknown[0]!r} is not an option of {name!r}; "
            f"its options are {', '.join(known) or 'none'}"
        )
    return make(**options)


def _find(name: str) -> Callable[..., Plan]:
    if name not in _PRESETS:
        raise PlanError(f"the method must be one of {', '.join(presets())}, got {name!r}")
    return _PRESETS[name]
