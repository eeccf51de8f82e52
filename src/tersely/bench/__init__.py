"""Comparing models on the same documents, in one process, taking turns."""

# ruff: noqa: F401 - these are the room's public names.
from tersely.bench.clock import Timing, take_turns
from tersely.bench.contenders import Contender, PackedContender, TextContender, under_plan
from tersely.bench.plots import draw_classes, to_svg
from tersely.bench.recipes import Sources, at_budgets, load_models, make_contenders, tell_duplicates
from tersely.bench.report import BenchReport, Spread, paired_ratio, summarise
from tersely.bench.run import bench
from tersely.bench.show import render, write_report
from tersely.bench.stock import StockContender
