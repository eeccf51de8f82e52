"""Comparing models on the same documents, in one process, taking turns."""

from tersely.bench.clock import Timing, take_turns
from tersely.bench.contenders import Contender, PackedContender, TextContender, under_plan
from tersely.bench.recipes import Sources, at_budgets, load_models, make_contenders
from tersely.bench.report import BenchReport
from tersely.bench.run import bench
from tersely.bench.show import render, write_report
from tersely.bench.statistics import Spread, paired_ratio, summarise
from tersely.bench.stock import StockContender

__all__ = [
    "BenchReport",
    "Contender",
    "PackedContender",
    "Sources",
    "Spread",
    "StockContender",
    "TextContender",
    "Timing",
    "at_budgets",
    "bench",
    "load_models",
    "make_contenders",
    "paired_ratio",
    "render",
    "summarise",
    "take_turns",
    "under_plan",
    "write_report",
]
