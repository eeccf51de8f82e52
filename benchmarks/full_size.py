"""Train the papers' methods and their rivals on whole data sets; one JSON file a cell, resumable.

    python benchmarks/full_size.py --data $DATA --encoder DIRECTORY --part dense [--hours 4]
    python benchmarks/full_size.py --data $DATA --encoder DIRECTORY --part focus [--seeds 0 1 2]

A cell is a row of a table, a data set and a seed; full_cells.py names them. For a data set and a
seed there is one dense model, trained by the recipe; every row starts from it, has it as its
teacher, and trains as long as every other row of its part, the dense row among them. All training
documents (7,500 of `imdb`), all test documents, last epoch; validation documents stay untouched for
what comes later. A cell whose JSON is there is skipped, and a killed one goes on from its newest
checkpoint. Before anything is trained, a folder with cells of another format, recipe, encoder or
other documents is refused, as is a model in `--work` of which no cell tells what made it. The part
`twelve` is for an encoder of twelve blocks (`mpnet_base.py`) and a folder of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

from common import RESULTS, drawn, parser, quiet, versions, write
from full_cells import TABLES, Cell, Row, dense_row
from input_selection import with_evidence
from tersely import Classifier, Plan, TrainingSettings
from tersely.errors import DataError, PlanError, TerselyError
from tersely.modeling.cascading import linear_log_probabilities
from tersely.text import Documents, read_documents
from tersely.text.encoding import EncodedDocuments
from tersely.text.metrics import evaluate_logits
from tersely.training.recipe import VERSION, with_recipe

FORMAT = 1
KEEPS = (1.0, 0.5, 0.25, 0.1, 0.05)  # where a model for random budgets is looked at
FOLDER = RESULTS / "full"
LOGITS = "train-logits.npy"
MOST = {"imdb": 7500}
log = logging.getLogger("full_size")


@cache
def documents(folder: Path, name: str, split: str) -> Documents:
    """Return a data set's part, all of it or as many as the tables say."""
    found = read_documents(folder / name / f"{split}.parquet", labels="required")
    return drawn(found, MOST.get(name), in_order=True) if split == "train" else found


@cache
def fingerprint(folder: Path, name: str) -> str:
    """Return a digest of the texts and labels that are trained and tested on."""
    digest = hashlib.sha256()
    for split in ("train", "test"):
        part = documents(folder, name, split)
        for text, label in zip(part.texts, part.labels, strict=True):
            digest.update(f"{text}\0{label}\0".encode())
    return digest.hexdigest()[:16]


@cache
def weights(encoder: str) -> str:
    """Return a digest of an encoder's weights."""
    with open(cached_file(encoder, SAFE_WEIGHTS_NAME), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


class Runner:
    """Trains cells, the dense models that they start from among them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def check(self, cells: Iterable[Cell]) -> None:
        """Refuse a folder whose cells may not stand beside those that will be trained."""
        first = {cell.data: cell for cell in cells}
        for path in sorted(self.args.results.glob("*.json")):
            record = json.loads(path.read_text())
            self._check(path, record, first.get(record.get("data")))

    def result(self, cell: Cell) -> dict[str, Any]:
        """Return a cell's record, trained now where there is none."""
        path = self.args.results / f"{cell.name}.json"
        if path.is_file():
            return json.loads(path.read_text())
        about = self._about(cell)
        if cell.row.start != "encoder":
            self.start(cell)  # on its own clock
        started = time.perf_counter()
        try:
            record = about | self._train(cell)
        except PlanError as error:
            record = about | {"unreachable": str(error)}
        record["seconds"] = time.perf_counter() - started
        write(path, record)
        log.info("%s %s", cell.name, record.get("metrics", record.get("unreachable")))
        return record

    def _about(self, cell: Cell) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "recipe": VERSION,
            "encoder": weights(self.args.encoder),
            "fingerprint": fingerprint(self.args.data, cell.data),
            "part": cell.part,
            "data": cell.data,
            "row": cell.row.name,
            "target": cell.row.target,
            "seed": cell.seed,
            "max_length": cell.row.length,
        }

    def _check(self, path: Path, record: dict[str, Any], cell: Cell | None) -> None:
        """Compare a record with what would be written; without a cell, not its documents."""
        expected = {"format": FORMAT, "recipe": VERSION, "encoder": weights(self.args.encoder)}
        # The first cells were written before the encoder was noted.
        record = {"encoder": expected["encoder"]} | record
        if cell is not None:
            expected["fingerprint"] = fingerprint(self.args.data, cell.data)
        for name, value in expected.items():
            if record.get(name) != value:
                raise DataError(
                    f"{path.name} has {name} {record.get(name)}, expected {value}; move it away "
                    "or name another folder with --results"
                )

    def start(self, cell: Cell) -> Path:
        """Return the folder of the dense model that a cell starts from, trained where needed."""
        head = "family" if cell.row.start == "dense-family" else "mean"
        own = Cell("dense", cell.data, dense_row(cell.row.length, head), cell.seed)
        folder, path = self.args.work / own.name, self.args.results / f"{own.name}.json"
        if not (folder / SAFE_WEIGHTS_NAME).is_file():
            path.unlink(missing_ok=True)  # of a model that is gone
            self.result(own)
        elif not path.is_file():
            raise DataError(
                f"{folder} holds a model, but {path.name} is not among the results to tell what "
                "made it; remove the model, or name another folder with --work"
            )
        return folder

    def _train(self, cell: Cell) -> dict[str, Any]:
        row, folder = cell.row, self.args.work / cell.name
        train = documents(self.args.data, cell.data, "train")
        from_encoder = row.start == "encoder"
        source = self.args.encoder if from_encoder else self.start(cell)
        teacher = None if from_encoder else self._logits(source, cell, train)
        head = "family" if row.name.endswith("-family") else "mean"
        classifier = Classifier(
            source,
            method=row.method,
            method_options={} if isinstance(row.method, Plan) else row.options,
            target_flops=row.target,
            max_length=row.length,
            head=head if from_encoder else "auto",
        )
        settings = TrainingSettings(seed=cell.seed)
        if not from_encoder:
            settings = replace(settings, epochs=self._epochs(row, len(train)))
        work = self.args.work / "running" / cell.name
        how = {"validation": 0, "cascade": "off", "settings": settings, "teacher": teacher}
        classifier.fit(train, **how, out=work, resume=True)
        test = documents(self.args.data, cell.data, "test")
        encoded = classifier.encode(test.texts)
        forward = classifier.forward(encoded)
        labels = classifier.label_space.encode(test.labels)
        classifier.save(folder)
        (folder / LOGITS).unlink(missing_ok=True)  # of a model that was there before
        shutil.rmtree(work, ignore_errors=True)
        trained, more = classifier.training, {}
        if (linear := classifier.model.linear) is not None:
            evidence = linear_log_probabilities(linear, encoded).numpy()
            more = with_evidence(forward.logits, evidence, labels)
        if row.options.get("random_budgets"):
            keeps = (keep for keep in KEEPS if keep >= row.options["keep"])
            more["at"] = {f"{keep:g}": _at(classifier, keep, encoded, labels) for keep in keeps}
        return more | {
            "metrics": evaluate_logits(forward.logits, labels),
            "macs_per_document": forward.macs / len(encoded),
            "train_documents": len(train),
            "test_documents": len(encoded),
            "test_tokens": encoded.tokens,
            "tokens_by_block": list(forward.tokens_by_block),
            "tokens_per_epoch": trained["tokens_per_epoch"],
            "steps": trained["steps"],
            "seconds_training": trained["seconds"],
            "resumed": trained["resumed"],
            "settings": trained["settings"],
            "plan": classifier.plan.to_dict(),
            "versions": versions(),
        }

    def _epochs(self, row: Row, count: int) -> float:
        """Return how often to pass over the documents: as the row says, and its least steps."""
        filled = with_recipe(TrainingSettings(), np.zeros(count, dtype=int), 384)
        return max(row.passes, math.ceil(row.steps * filled.batch_documents / count))

    def _logits(self, source: Path, cell: Cell, train: Documents) -> np.ndarray:
        """Return the dense model's logits of the training documents, computed once."""
        path = source / LOGITS
        if not path.is_file():
            np.save(path, Classifier.from_pretrained(source).logits(train.texts))
        return np.load(path)


def _at(
    classifier: Classifier, keep: float, encoded: EncodedDocuments, labels: np.ndarray
) -> dict[str, Any]:
    """Return what a model that was trained for random budgets has at one of them."""
    forward = classifier.with_options(keep=keep).forward(encoded)
    macs = forward.macs / len(encoded)
    return {"metrics": evaluate_logits(forward.logits, labels), "macs_per_document": macs}


def main() -> None:
    """Go through the cells of a part in their order, until its hours are used."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--part", choices=TABLES, required=True)
    options.add_argument("--work", type=Path, default=Path(".cache/full_size"))
    options.add_argument("--results", type=Path, default=FOLDER)
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options.add_argument("--only", nargs="*", help="data sets")
    options.add_argument("--hours", type=float, default=10.0, help="of the part, in all sessions")
    args = options.parse_args()
    quiet()
    runner = Runner(args)
    cells = {cell.name: cell for cell in TABLES[args.part](args.seeds)}
    cells = [cell for cell in cells.values() if not args.only or cell.data in args.only]
    try:
        runner.check(cells)
        spent = 0.0
        for cell in cells:
            if spent > 3600 * args.hours and not (args.results / f"{cell.name}.json").is_file():
                log.info("%.1f hours are used; %s and what follows is not run", args.hours, cell)
                break
            spent += runner.result(cell).get("seconds", 0.0)
    except TerselyError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
