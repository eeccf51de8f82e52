"""Comparing models on the same documents, in one process, taking turns."""

from __future__ import annotations

from .clock import Progress, Timing, take_turns
from .contenders import KINDS, Contender, Rebuildable, TextContender, build_contender
from .energy import EnergyMeter
from .machine import MatrixProbe, describe_machine, memory_bandwidth
from .memory import PeakMemory, measure_memory
from .multiply_adds import padded_multiply_adds
from .packed import PackedContender
from .recipes import RECIPES, make_contender
from .report import BenchReport, ContenderResult
from .run import bench
from .statistics import Spread, paired_ratio, summarise
from .stock import StockContender
from .table import render
from .uncertainty import Comparison, compare, quality_intervals
from .workshop import Workshop, default_cache

__all__ = [
    "KINDS",
    "RECIPES",
    "BenchReport",
    "Contender",
    "Comparison",
    "ContenderResult",
    "EnergyMeter",
    "MatrixProbe",
    "PackedContender",
    "PeakMemory",
    "Progress",
    "Rebuildable",
    "Spread",
    "StockContender",
    "TextContender",
    "Timing",
    "Workshop",
    "bench",
    "build_contender",
    "compare",
    "default_cache",
    "describe_machine",
    "make_contender",
    "measure_memory",
    "memory_bandwidth",
    "padded_multiply_adds",
    "paired_ratio",
    "quality_intervals",
    "render",
    "summarise",
    "take_turns",
]
