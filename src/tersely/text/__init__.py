"""Documents in, predictions out: every format, column guess, label and split, and no model.

This room knows numpy, pyarrow and, for batches, torch. scikit-learn and datasets are imported when
they are used.
"""

from tersely.text.documents import Documents, read_documents, split_numbers
from tersely.text.labels import LabelSpace
from tersely.text.write import check_output, write_table

__all__ = [
    "Documents",
    "LabelSpace",
    "check_output",
    "read_documents",
    "split_numbers",
    "write_table",
]
