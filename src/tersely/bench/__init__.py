"""Comparing models on the same documents, in one process, taking turns."""

from __future__ import annotations

from tersely._io import describe_machine
from tersely.bench.clock import MatrixProbe, Progress, Timing, take_turns
from tersely.bench.contenders import Contender, PackedContender, TextContender, build_contender
from tersely.bench.memory import PeakMemory, measure_memory
from tersely.bench.model_cache import ModelCache, default_cache
from tersely.bench.recipes import (
    RECIPES,
    at_budgets,
    load_models,
    make_contender,
    make_contenders,
)
from tersely.bench.report import BenchReport, ContenderResult
from tersely.bench.run import bench
from tersely.bench.show import render, write_plots, write_report
from tersely.bench.statistics import Spread, compare, paired_ratio, quality_intervals, summarise
from tersely.bench.stock import StockContender, padded_macs

__all__ = [
    "RECIPES",
    "BenchReport",
    "Contender",
    "ContenderResult",
    "MatrixProbe",
    "ModelCache",
    "PackedContender",
    "PeakMemory",
    "Progress",
    "Spread",
    "StockContender",
    "TextContender",
    "Timing",
    "at_budgets",
    "bench",
    "build_contender",
    "compare",
    "default_cache",
    "describe_machine",
    "load_models",
    "make_contender",
    "make_contenders",
    "measure_memory",
    "padded_macs",
    "paired_ratio",
    "quality_intervals",
    "render",
    "summarise",
    "take_turns",
    "write_plots",
    "write_report",
]
