"""Ragged batches: documents of different lengths laid end to end, without padding."""

from tersely.ragged.batch import Ragged
from tersely.ragged.export import ExportLayout
from tersely.ragged.layout import Layout, Run
from tersely.ragged.order import lowest, lowest_of_columns, quantile_of_sorted, sorted_values

__all__ = [
    "Layout",
    "ExportLayout",
    "Ragged",
    "Run",
    "lowest",
    "lowest_of_columns",
    "quantile_of_sorted",
    "sorted_values",
]
