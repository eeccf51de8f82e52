"""`tersely train` with its defaults against everything that one would pick instead of it.

    python benchmarks/instead.py --data $DATA --encoder DIRECTORY --only r8 [--work DIRECTORY]

Trains on all training documents of a set (7,500 of `imdb`), at 256 tokens, as the command does
where nothing is named; what cannot be trained with the model is fitted on the same documents.
Quality is judged on all test documents (10,000 of `imdb`), speed on some of them, in turns;
OpenVINO and its quantiser, model2vec and sentence-transformers have to be installed. SetFit is not
here: it is made for a few documents a class. A killed training goes on; one JSON a set.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from common import RESULTS, SETS, drawn, parser, quiet, versions, write
from rivals import FrozenEncoder, OpenVino, StaticVectors
from tersely import Classifier, TrainingSettings
from tersely.bench import Contender, PackedContender, bench
from tersely.bench.recipes import Sources, make_contenders
from tersely.text import Documents, read_documents

FORMAT = 1
FOLDER = RESULTS / "instead"
MOST = {"train": {"imdb": 7500}, "test": {"imdb": 10000}}
STOCK = ("pipeline", "sorted", "onnx", "onnx-int8", "tfidf")
FITTED = ("rivals:StaticVectors", "rivals:FrozenEncoder")
THEIRS = ("float32", "int8")  # of OpenVINO
LENGTH = 256
CALIBRATION = 300
"""Texts for OpenVINO's quantiser, its own default."""

log = logging.getLogger("instead")


def documents(data: Path, name: str, split: str) -> Documents:
    """Return a part of a data set."""
    found = read_documents(data / name / f"{split}.parquet", labels="required")
    return drawn(found, MOST[split].get(name), in_order=True)


def trained(args: argparse.Namespace, name: str, train: Documents) -> Path:
    """Return the folder of what `tersely train` makes, made now where it is not there."""
    folder = args.work / f"{name}-{args.seed}"
    if not (folder / "training.json").is_file():
        classifier = Classifier(args.encoder, max_length=LENGTH)
        settings = TrainingSettings(seed=args.seed)
        running = args.work / "running" / folder.name
        classifier.fit(train, settings=settings, out=running, resume=True, tell=log.info)
        classifier.save(folder)
    return folder


def contenders(args: argparse.Namespace, folder: Path, train: Documents) -> list[Contender]:
    """Return ours and theirs; what is not ours runs or replaces the same dense model."""
    ours = Classifier.from_pretrained(folder)
    dense = folder.with_name(f"{folder.name}-dense")
    ours.with_model(ours.torch_model().alone()).save(dense)
    StaticVectors.encoder = FrozenEncoder.encoder = args.encoder
    loading = {"device": "cpu", "max_length": LENGTH}
    sources = Sources(ours.label_space, args.work, str(dense), train, loading)
    theirs, skipped = make_contenders([*STOCK, *FITTED], sources)
    if skipped:
        raise SystemExit("; ".join(skipped.values()))
    some = drawn(train, CALIBRATION).texts
    theirs += [OpenVino(dense, kind, some, max_length=LENGTH) for kind in THEIRS]
    made = [PackedContender(Classifier.from_pretrained(dense), "dense, packed")]
    if ours.torch_model().cascade is not None:
        whole = Classifier.from_pretrained(folder, max_loss=0)
        made += [PackedContender(whole, "tersely, all read"), PackedContender(ours, "tersely")]
    return theirs + made


def about(folder: Path) -> dict[str, Any]:
    """Return what training said of the model."""
    record = json.loads((folder / "training.json").read_text())
    told = Classifier.from_pretrained(folder).certificates
    return {
        "lines": record["lines"],
        "seconds": record["seconds"],
        "certificates": told and told.to_dict(),
    }


def main() -> None:
    """Train and compare, a set after the other."""
    options = parser(__doc__, None, "data", "encoder", rounds=5)
    options.add_argument("--only", nargs="*", default=[*SETS, "sst2", "arxiv", "imdb"])
    options.add_argument("--work", type=Path, default=Path(".cache/instead"))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--timed", type=int, default=256)
    options.add_argument("--train-only", action="store_true", help="measure nothing yet")
    args = options.parse_args()
    quiet()
    for name in args.only:
        train, test = (documents(args.data, name, split) for split in ("train", "test"))
        folder = trained(args, name, train)
        if args.train_only:
            continue
        made = contenders(args, folder, train)
        labels = made[-1].classifier.label_space.encode(test.labels)
        counts = {"timed": args.timed, "rounds": args.rounds, "latency_documents": 32}
        report = bench(made, test.texts, labels, baseline="dense, packed", memory=False, **counts)
        record = {"format": FORMAT, "data": name, "seed": args.seed, "max_length": LENGTH}
        record |= {"train_documents": len(train), "test_documents": len(test)}
        record |= {"training": about(folder), "versions": versions()}
        write(FOLDER / f"{name}-{args.seed}.json", record | report.to_dict())
        for line in report.verdict():
            log.info("%s: %s", name, line)


if __name__ == "__main__":
    main()
