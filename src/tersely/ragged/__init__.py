"""Ragged batches: documents of different lengths laid end to end, without padding."""

from tersely.ragged.batch import Ragged
from tersely.ragged.layout import ExportLayout, Layout, lowest_of_columns, quantile_of_sorted

__all__ = ["Layout", "ExportLayout", "Ragged", "lowest_of_columns", "quantile_of_sorted"]
