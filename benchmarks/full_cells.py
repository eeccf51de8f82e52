"""The cells of the full-size runs: what is trained of each part, in the order of its worth.

A cell is a row of a table, a data set and a seed; full_size.py trains them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tersely import Plan
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Union
from tersely.reduction import Step, find_preset

FIRST, SECOND = ("r8", "bbc", "20ng"), ("sst2", "arxiv", "imdb")
# Below this target, methods that act at one block do so at the first: by default they act at the
# second of six, and what comes before it takes 0.23 of the MACs already.
EARLY = 0.3


@dataclass(frozen=True)
class Row:
    """One row of a table: what is trained, from what, for how long."""

    name: str
    method: str | Plan
    options: dict[str, Any] = field(default_factory=dict)
    target: float | None = None
    passes: float = 1
    steps: int = 0  # at least, beside the passes
    start: str = "dense"  # or "dense-family", the family's own head; or "encoder"
    length: int = 256


@dataclass(frozen=True)
class Cell:
    """A row on a data set with a seed."""

    part: str
    data: str
    row: Row
    seed: int

    @property
    def name(self) -> str:
        """The name of the cell's files."""
        length = "" if self.row.length == 256 else f"-{self.row.length}"
        return f"{self.data}-{self.row.name}{length}-{self.seed}"


def dense_row(length: int = 256, head: str = "mean") -> Row:
    """Return the dense model that others start from, trained by the recipe."""
    name = "start" if head == "mean" else f"start-{head}"
    return Row(name, "dense", start="encoder", passes=0, length=length)


def focus_rows() -> dict[str, Row]:
    """Return Focus on the Core's rows; places are of the paper's twelve blocks."""
    long = {"passes": 2, "steps": 600}
    rows = [
        Row("dense", "dense", **long),
        Row("focus-pfc-7", "focus-pfc", {"combine_at": 7 / 12}, **long),
        Row("focus-pfc-11", "focus-pfc", {"combine_at": 11 / 12}, **long),
        Row("focus-pf", "focus-pf", **long),
        Row("focus-c-7", "focus-c", {"combine_at": 7 / 12}, **long),
        Row("focus-c-11", "focus-c", {"combine_at": 11 / 12}, **long),
        Row("focus-p", "focus-p", **long),
        Row("focus-pfc-7-at-once", "focus-pfc", {"combine_at": 7 / 12}, start="encoder", passes=0),
    ]
    return {row.name: row for row in rows}


def focus(seeds: list[int]) -> Iterator[Cell]:
    """Yield the cells of Focus on the Core in the order of their worth."""
    rows = focus_rows()
    main = ("dense", "focus-pfc-7", "focus-pfc-11", "focus-pf")
    for seed in seeds:
        yield from (Cell("focus", data, rows[name], seed) for data in FIRST for name in main)
    yield from (Cell("focus", data, rows[name], 0) for data in SECOND for name in main[:3])
    others = ("focus-c-7", "focus-c-11", "focus-p")
    yield from (Cell("focus", data, rows[name], 0) for data in FIRST for name in others)
    yield from (Cell("focus", data, rows["focus-pfc-7-at-once"], 0) for data in ("r8", "20ng"))


# What rows of one pass stand beside; Focus on the Core's dense row takes two or more.
ONCE = Row("dense-once", "dense")


def twelve(seeds: list[int]) -> Iterator[Cell]:
    """Yield Focus on the Core's cells for an encoder of twelve blocks, at 128 tokens."""
    rows = focus_rows()
    for name in ("dense", "focus-pfc-7", "focus-pfc-11", "focus-pf"):
        yield Cell("twelve", "bbc", replace(rows[name], length=128), 0)


def at_target(name: str, method: str, target: float, **options: Any) -> Row:
    """Return a row that is brought to a share of the dense model's MACs."""
    if target < EARLY and "at" in find_preset(method).options:
        options = {"at": 0} | options
    return Row(f"{name}@{target:g}", method, options, target)


def ltp(seeds: list[int]) -> Iterator[Cell]:
    """Yield Learned Token Pruning, the paper's recipe and ours, against its baselines."""
    for target in (0.5, 0.7, 0.25):
        rows = [
            at_target("ltp", "ltp", target),
            at_target("ltp-paper", "ltp-paper", target),
            at_target("topk", "topk", target),
            at_target("topk-linear", "topk", target, linear=True),
            at_target("threshold", "threshold", target),
        ]
        own = seeds if target == 0.5 else [0]
        for seed in own:
            for data in ("r8", "sst2", "20ng"):
                yield from (Cell("ltp", data, row, seed) for row in (ONCE, *rows))
    for data in ("r8", "20ng"):
        for method in ("ltp", "topk"):
            row = at_target(f"{method}-family", method, 0.5)
            yield Cell("ltp", data, replace(row, start="dense-family"), 0)


PATTERNS = {
    "neighbours": lambda share: Neighbours(share=share),
    "random": lambda share: RandomPairs(share=share),
    "global": lambda share: GlobalTokens(share=share),
    "lexical": lambda share: Lexical(by="embedding", share=share),
    "bigbird": lambda share: Union(
        of=[kind(share=share / 3) for kind in (Neighbours, RandomPairs, GlobalTokens)]
    ),
    "degrees": lambda share: LearnedNeighbours(target=1 - share),
}
HALVES = {"all": range(6), "early": range(3), "late": range(3, 6)}


def pattern_row(name: str, where: str, sparsity: float) -> Row:
    """Return a row of attention that is thinned, at 128 tokens."""
    step = Step(PATTERNS[name](round(1 - sparsity, 3)), blocks=list(HALVES[where]))
    return Row(f"{name}-{where}@{sparsity:g}", Plan(f"{name}, {where}", (step,)), length=128)


def sparse(seeds: list[int]) -> Iterator[Cell]:
    """Yield Breaking BERT's three experiments, and a second seed of what its claims rest on."""
    alike = Row("dense", "dense", length=128)
    for data in ("r8", "sst2"):
        rows = [alike]
        rows += [
            pattern_row(name, where, sparsity)
            for sparsity in (0.92, 0.78)
            for name in ("neighbours", "random", "global", "lexical")
            for where in HALVES
        ]
        rows += [
            pattern_row(name, "all", sparsity)
            for sparsity in (0.97, 0.92, 0.78, 0.5)
            for name in ("degrees", "bigbird", "neighbours")
        ]
        yield from (Cell("sparse", data, row, 0) for row in rows)
    again = [
        pattern_row(name, where, 0.92)
        for name in ("neighbours", "random", "global", "degrees")
        for where in ("all", "late")
    ]
    for seed in seeds[1:2]:
        yield from (Cell("sparse", "r8", row, seed) for row in [alike, *again])


def others(seeds: list[int]) -> Iterator[Cell]:
    """Yield everything else at half of the MACs."""
    names = (
        # First what stays or goes by its outcome, beside the method that most would take.
        *("topk", "mergence", "power-bert", "transkimmer", "adapler", "diversity"),
        *("threshold", "lat", "fewer-layers", "tome", "fca", "pool", "random", "truncate"),
    )
    for data in ("r8", "20ng"):
        rows = (ONCE, *(at_target(name, name, 0.5) for name in names))
        yield from (Cell("others", data, row, 0) for row in rows)


def chosen(seeds: list[int]) -> Iterator[Cell]:
    """Yield training under tokens that are chosen before the first block, beside dense as long."""
    long = {"passes": 2, "steps": 600}
    rows = [
        Row("dense", "dense", **long),  # the same cell as Focus on the Core's
        *(
            Row(f"chosen-{score}@{target:g}", "choose", {"score": score}, target, **long)
            for score, target in (
                ("linear-margin", 0.25),
                ("linear", 0.25),
                ("saliency", 0.25),
                ("linear-margin", 0.15),
            )
        ),
        Row("chosen-any", "choose", {"keep": 0.05, "random_budgets": True}, **long),
    ]
    for seed in seeds:
        for data in (*FIRST, "imdb"):
            yield from (Cell("chosen", data, row, seed) for row in rows)


def dense(seeds: list[int]) -> Iterator[Cell]:
    """Yield the dense models of all data sets, those of seed 0 first."""
    for seed in seeds:
        yield from (Cell("dense", data, dense_row(), seed) for data in (*FIRST, *SECOND))


TABLES = {
    "dense": dense,
    "focus": focus,
    "ltp": ltp,
    "sparse": sparse,
    "others": others,
    "chosen": chosen,
    "twelve": twelve,
}
