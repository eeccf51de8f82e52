"""Train the papers' methods and their rivals on whole data sets; one JSON file a cell, resumable.

    python benchmarks/full_size.py --data $DATA --encoder DIRECTORY --part dense [--hours 4]
    python benchmarks/full_size.py --data $DATA --encoder DIRECTORY --part focus [--seeds 0 1 2]

A cell is a row of a table, a data set and a seed. For a data set and a seed there is one dense
model, trained by the recipe; every row starts from it, has it as its teacher, and trains as long as
every other row of its part, the dense row among them. All training documents (7,500 of `imdb`), all
test documents, last epoch; validation documents stay untouched for what comes later. A cell whose
JSON is there is skipped, and a killed one goes on from its newest checkpoint. Before anything is
trained, a folder with cells of another format, recipe, encoder or other documents is refused, as is
a model in `--work` of which no cell tells what made it. The part `twelve` is for an encoder of
twelve blocks (`mpnet_base.py`) and a folder of its own.
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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

from common import RESULTS, drawn, parser, quiet, versions, write
from tersely import Classifier, Plan, TrainingSettings
from tersely.errors import DataError, PlanError, TerselyError
from tersely.methods.breaking_bert import LearnedNeighbours
from tersely.methods.patterns import GlobalTokens, Lexical, Neighbours, RandomPairs, Union
from tersely.reduction import Step, find_preset
from tersely.text import Documents, read_documents
from tersely.text.metrics import evaluate_logits
from tersely.training.recipe import VERSION, with_recipe

FORMAT = 1
FOLDER = RESULTS / "full"
LOGITS = "train-logits.npy"
MOST = {"imdb": 7500}
FIRST, SECOND = ("r8", "bbc", "20ng"), ("sst2", "arxiv", "imdb")
# Below this target, methods that act at one block do so at the first: by default they act at the
# second of six, and what comes before it takes 0.23 of the MACs already.
EARLY = 0.3

log = logging.getLogger("full_size")


@dataclass(frozen=True)
class Row:
    """One row of a table: what is trained, from what, for how long."""

    name: str
    method: str | Plan
    options: dict[str, Any] = field(default_factory=dict)
    target: float | None = None
    passes: float = 1
    steps: int = 0  # at least, beside the passes
    start: str = "dense"  # or "dense-family", the family's own head; or "encoder"
    length: int = 256


@dataclass(frozen=True)
class Cell:
    """A row on a data set with a seed."""

    part: str
    data: str
    row: Row
    seed: int

    @property
    def name(self) -> str:
        """The name of the cell's files."""
        length = "" if self.row.length == 256 else f"-{self.row.length}"
        return f"{self.data}-{self.row.name}{length}-{self.seed}"


# ---- the tables --------------------------------------------------------------------------------


def dense_row(length: int = 256, head: str = "mean") -> Row:
    """Return the dense model that others start from, trained by the recipe."""
    name = "start" if head == "mean" else f"start-{head}"
    return Row(name, "dense", start="encoder", passes=0, length=length)


def focus_rows() -> dict[str, Row]:
    """Return Focus on the Core's rows; places are of the paper's twelve blocks."""
    long = {"passes": 2, "steps": 600}
    rows = [
        Row("dense", "dense", **long),
        Row("focus-pfc-7", "focus-pfc", {"combine_at": 7 / 12}, **long),
        Row("focus-pfc-11", "focus-pfc", {"combine_at": 11 / 12}, **long),
        Row("focus-pf", "focus-pf", **long),
        Row("focus-c-7", "focus-c", {"combine_at": 7 / 12}, **long),
        Row("focus-c-11", "focus-c", {"combine_at": 11 / 12}, **long),
        Row("focus-p", "focus-p", **long),
        Row("focus-pfc-7-at-once", "focus-pfc", {"combine_at": 7 / 12}, start="encoder", passes=0),
    ]
    return {row.name: row for row in rows}


def focus(seeds: list[int]) -> Iterator[Cell]:
    """Yield the cells of Focus on the Core in the order of their worth."""
    rows = focus_rows()
    main = ("dense", "focus-pfc-7", "focus-pfc-11", "focus-pf")
    for seed in seeds:
        yield from (Cell("focus", data, rows[name], seed) for data in FIRST for name in main)
    yield from (Cell("focus", data, rows[name], 0) for data in SECOND for name in main[:3])
    others = ("focus-c-7", "focus-c-11", "focus-p")
    yield from (Cell("focus", data, rows[name], 0) for data in FIRST for name in others)
    yield from (Cell("focus", data, rows["focus-pfc-7-at-once"], 0) for data in ("r8", "20ng"))


# What rows of one pass stand beside; Focus on the Core's dense row takes two or more.
ONCE = Row("dense-once", "dense")


def twelve(seeds: list[int]) -> Iterator[Cell]:
    """Yield Focus on the Core's cells for an encoder of twelve blocks, at 128 tokens."""
    rows = focus_rows()
    for name in ("dense", "focus-pfc-7", "focus-pfc-11", "focus-pf"):
        yield Cell("twelve", "bbc", replace(rows[name], length=128), 0)


def at_target(name: str, method: str, target: float, **options: Any) -> Row:
    """Return a row that is brought to a share of the dense model's MACs."""
    if target < EARLY and "at" in find_preset(method).options:
        options = {"at": 0} | options
    return Row(f"{name}@{target:g}", method, options, target)


def ltp(seeds: list[int]) -> Iterator[Cell]:
    """Yield Learned Token Pruning, the paper's recipe and ours, against its baselines."""
    for target in (0.5, 0.7, 0.25):
        rows = [
            at_target("ltp", "ltp", target),
            at_target("ltp-paper", "ltp-paper", target),
            at_target("topk", "topk", target),
            at_target("topk-linear", "topk", target, linear=True),
            at_target("threshold", "threshold", target),
        ]
        own = seeds if target == 0.5 else [0]
        for seed in own:
            for data in ("r8", "sst2", "20ng"):
                yield from (Cell("ltp", data, row, seed) for row in (ONCE, *rows))
    for data in ("r8", "20ng"):
        for method in ("ltp", "topk"):
            row = at_target(f"{method}-family", method, 0.5)
            yield Cell("ltp", data, replace(row, start="dense-family"), 0)


PATTERNS = {
    "neighbours": lambda share: Neighbours(share=share),
    "random": lambda share: RandomPairs(share=share),
    "global": lambda share: GlobalTokens(share=share),
    "lexical": lambda share: Lexical(by="embedding", share=share),
    "bigbird": lambda share: Union(
        of=[kind(share=share / 3) for kind in (Neighbours, RandomPairs, GlobalTokens)]
    ),
    "degrees": lambda share: LearnedNeighbours(target=1 - share),
}
HALVES = {"all": range(6), "early": range(3), "late": range(3, 6)}


def pattern_row(name: str, where: str, sparsity: float) -> Row:
    """Return a row of attention that is thinned, at 128 tokens."""
    step = Step(PATTERNS[name](round(1 - sparsity, 3)), blocks=list(HALVES[where]))
    return Row(f"{name}-{where}@{sparsity:g}", Plan(f"{name}, {where}", (step,)), length=128)


def sparse(seeds: list[int]) -> Iterator[Cell]:
    """Yield Breaking BERT's three experiments, and a second seed of what its claims rest on."""
    alike = Row("dense", "dense", length=128)
    for data in ("r8", "sst2"):
        rows = [alike]
        rows += [
            pattern_row(name, where, sparsity)
            for sparsity in (0.92, 0.78)
            for name in ("neighbours", "random", "global", "lexical")
            for where in HALVES
        ]
        rows += [
            pattern_row(name, "all", sparsity)
            for sparsity in (0.97, 0.92, 0.78, 0.5)
            for name in ("degrees", "bigbird", "neighbours")
        ]
        yield from (Cell("sparse", data, row, 0) for row in rows)
    again = [
        pattern_row(name, where, 0.92)
        for name in ("neighbours", "random", "global", "degrees")
        for where in ("all", "late")
    ]
    for seed in seeds[1:2]:
        yield from (Cell("sparse", "r8", row, seed) for row in [alike, *again])


def others(seeds: list[int]) -> Iterator[Cell]:
    """Yield everything else at half of the MACs."""
    names = (
        *("topk", "tome", "fca", "pool", "random", "truncate", "fewer-layers"),
        *("threshold", "lat", "adapler", "power-bert", "transkimmer", "mergence", "diversity"),
    )
    for data in ("r8", "20ng"):
        rows = (ONCE, *(at_target(name, name, 0.5) for name in names))
        yield from (Cell("others", data, row, 0) for row in rows)


def dense(seeds: list[int]) -> Iterator[Cell]:
    """Yield the dense models of all data sets, those of seed 0 first."""
    for seed in seeds:
        yield from (Cell("dense", data, dense_row(), seed) for data in (*FIRST, *SECOND))


TABLES = {
    "dense": dense,
    "focus": focus,
    "ltp": ltp,
    "sparse": sparse,
    "others": others,
    "twelve": twelve,
}


# ---- running -----------------------------------------------------------------------------------


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
        trained = classifier.training
        return {
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
