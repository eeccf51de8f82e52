"""Draw the fixed parts of the data sets that the training comparisons use; writes row numbers only.

    python benchmarks/make_parts.py $DATA

Stratified by label, seed 0: 600 training documents of bbc, 1,200 of r8, 2,000 of 20ng, and up to
1,500 test documents of each. The row numbers are committed, the documents are not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SIZES = {"bbc": 600, "r8": 1200, "20ng": 2000}
TEST = 1500


def draw(path: Path, wanted: int) -> list[int]:
    """Row numbers of a stratified draw, ascending."""
    labels = pq.read_table(path, columns=["label"])["label"].to_pylist()
    rows = np.arange(len(labels))
    if wanted < len(rows):
        rows, _ = train_test_split(rows, train_size=wanted, stratify=labels, random_state=0)
    return sorted(int(row) for row in rows)


def main() -> None:
    """Draw and write `benchmarks/parts/NAME.json`."""
    data = Path(sys.argv[1])
    for name, wanted in SIZES.items():
        part = {
            "train": draw(data / name / "train.parquet", wanted),
            "test": draw(data / name / "test.parquet", TEST),
        }
        (HERE / "parts" / f"{name}.json").write_text(json.dumps(part) + "\n")
        print(name, {split: len(rows) for split, rows in part.items()})


if __name__ == "__main__":
    main()
