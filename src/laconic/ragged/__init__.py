"""Ragged batches: documents of different lengths laid end to end, without padding."""

from laconic.ragged.batch import Ragged
from laconic.ragged.layout import Layout, Run
from laconic.ragged.one import OneDocument
from laconic.ragged.order import lowest, lowest_of_columns, quantile_of_sorted, sorted_values

__all__ = [
    "Layout",
    "OneDocument",
    "Ragged",
    "Run",
    "lowest",
    "lowest_of_columns",
    "quantile_of_sorted",
    "sorted_values",
]
