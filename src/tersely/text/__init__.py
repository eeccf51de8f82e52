"""Documents in, predictions out: every format, column guess, label and split, and no model.

This room knows numpy, pyarrow and, for batches, torch. scikit-learn and datasets are imported when
they are used.
"""

# ruff: noqa: F401 - these are the room's public names.
from tersely.text.documents import Documents, read_documents, split_numbers
from tersely.text.labels import LabelSpace
from tersely.text.write import check_output, write_table
