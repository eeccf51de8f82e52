"""Comparing models on the same documents, in one process, taking turns."""

from __future__ import annotations

from tersely.bench.clock import Progress, Timing, take_turns
from tersely.bench.contenders import KINDS, Contender, Rebuildable, TextContender, build_contender
from tersely.bench.energy import EnergyMeter
from tersely.bench.machine import MatrixProbe, describe_machine, memory_bandwidth
from tersely.bench.macs import padded_macs
from tersely.bench.memory import PeakMemory, measure_memory
from tersely.bench.packed import PackedContender
from tersely.bench.recipes import RECIPES, make_contender
from tersely.bench.report import BenchReport, ContenderResult
from tersely.bench.run import bench
from tersely.bench.statistics import Spread, paired_ratio, summarise
from tersely.bench.stock import StockContender
from tersely.bench.table import render
from tersely.bench.uncertainty import Comparison, compare, quality_intervals
from tersely.bench.workshop import Workshop, default_cache

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
    "padded_macs",
    "paired_ratio",
    "quality_intervals",
    "render",
    "summarise",
    "take_turns",
]
