"""Documents in, predictions out: every format, column guess, label and split, and no model.

This room knows numpy and pyarrow. scikit-learn and datasets are imported when they are used.
"""

from __future__ import annotations

from laconic.data.documents import Documents
from laconic.data.labels import PROBLEM_TYPES, LabelSpace
from laconic.data.readers import read_documents
from laconic.data.splits import split_numbers, split_validation
from laconic.data.targets import LABEL_SEPARATOR
from laconic.data.writers import check_output, write_table

__all__ = [
    "LABEL_SEPARATOR",
    "PROBLEM_TYPES",
    "Documents",
    "LabelSpace",
    "check_output",
    "read_documents",
    "split_numbers",
    "split_validation",
    "write_table",
]
