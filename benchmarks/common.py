"""What the scripts of this folder share: their data, their sizes, and how records are written."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import tersely
from tersely._io import keep_freed_memory
from tersely.errors import TerselyWarning
from tersely.text import Documents, read_documents

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SETS = ("bbc", "r8", "20ng")


def parser(about: str, out: str | None = None, *needs: str, rounds: int | None = None) -> Any:
    """Return the options that scripts share.

    Args:
        about: the script's docstring; its first line is shown.
        out: the record's place in `results/`; None for a script that writes several.
        needs: of `"data"`, `"encoder"` and `"models"`, the folders that have to be named.
        rounds: turns by default; None for a script without rounds.
    """
    made = argparse.ArgumentParser(description=about.splitlines()[0])
    for name in needs:
        made.add_argument(f"--{name}", type=str if name == "encoder" else Path, required=True)
    if out is not None:
        made.add_argument("--out", type=Path, default=RESULTS / out)
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds)
    return made


def quiet() -> None:
    """Log this folder's lines alone, and keep freed memory, as tersely's commands do."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.simplefilter("ignore", TerselyWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    keep_freed_memory()


def fixed_part(data: Path, name: str, split: str) -> Documents:
    """Return the fixed part of a data set, see make_parts.py."""
    rows = json.loads((HERE / "parts" / f"{name}.json").read_text())[split]
    return read_documents(data / name / f"{split}.parquet", labels="required").select(rows)


def drawn(documents: Documents, count: int | None, *, in_order: bool = False) -> Documents:
    """Return some documents, drawn at random with seed 0; all of them where count is None."""
    if count is None or count >= len(documents):
        return documents
    rows = np.random.default_rng(0).permutation(len(documents))[:count].tolist()
    return documents.select(sorted(rows) if in_order else rows)


def newsgroups(data: Path, split: str, count: int) -> tuple[Documents, dict[str, Any]]:
    """Return random documents of 20 Newsgroups, and what a record says of them."""
    documents = drawn(read_documents(data / "20ng" / f"{split}.parquet", labels="required"), count)
    about = {"set": f"20ng {split}", "documents": len(documents), "seed": 0, "max_length": 512}
    return documents, about


def save_stock(encoder: str, directory: Path, labels: int) -> str:
    """Save a stock classifier with a new head, once."""
    if not directory.exists():
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=labels
        )
        model.save_pretrained(directory)
        transformers.AutoTokenizer.from_pretrained(encoder).save_pretrained(directory)
    return str(directory)


def versions() -> dict[str, str]:
    """Return what a run was made with."""
    return {
        "tersely": tersely.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def write(path: Path, record: Any) -> None:
    """Write a record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)
