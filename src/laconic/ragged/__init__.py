"""Ragged batches: documents of different lengths laid end to end, without padding."""

from laconic.ragged.batch import Ragged
from laconic.ragged.layout import Layout, Run
from laconic.ragged.order import lowest, quantile_of_sorted, sorted_values

__all__ = ["Layout", "Ragged", "Run", "lowest", "quantile_of_sorted", "sorted_values"]
