"""Documents in, predictions out: every format, column guess, label and split, and no model.

This room knows numpy, pyarrow and, for batches, torch. scikit-learn and datasets are imported when
they are used. Names without an underscore in its files are there for the other rooms.
"""

from tersely.text.documents import Documents, read_documents, split_numbers
from tersely.text.labels import LABEL_SEPARATOR, PROBLEM_TYPES, LabelSpace
from tersely.text.write import check_output, write_table

__all__ = [
    "LABEL_SEPARATOR",
    "PROBLEM_TYPES",
    "Documents",
    "LabelSpace",
    "check_output",
    "read_documents",
    "split_numbers",
    "write_table",
]
