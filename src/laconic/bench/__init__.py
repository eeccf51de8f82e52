"""Comparing models on the same documents, in one process, taking turns."""

from __future__ import annotations

from .clock import Progress, Timing, take_turns
from .contenders import KINDS, Contender, Rebuildable, build_contender
from .machine import MatrixProbe, describe_machine
from .memory import PeakMemory, measure_memory
from .multiply_adds import padded_multiply_adds
from .packed import PackedContender
from .report import BenchReport, ContenderResult
from .run import bench
from .statistics import Spread, paired_ratio, summarise
from .stock import StockContender
from .table import render

__all__ = [
    "KINDS",
    "BenchReport",
    "Contender",
    "ContenderResult",
    "MatrixProbe",
    "PackedContender",
    "PeakMemory",
    "Progress",
    "Rebuildable",
    "Spread",
    "StockContender",
    "Timing",
    "bench",
    "build_contender",
    "describe_machine",
    "measure_memory",
    "padded_multiply_adds",
    "paired_ratio",
    "render",
    "summarise",
    "take_turns",
]
