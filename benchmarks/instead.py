"""What `tersely train` makes of full-size training against all that one would pick instead of it.

    python benchmarks/instead.py --data $DATA --encoder DIRECTORY --models DIRECTORY [--only r8]

The encoder is the dense model of full_size.py, trained on all training documents at 256 tokens.
What follows a training follows here: the linear stage from the training documents, everything else
from the validation documents, and the certificate from one half of the test documents. The other
half judges. What is not ours runs this same encoder, or is fitted on the same training documents.
OpenVINO and its quantiser, model2vec and sentence-transformers have to be installed. SetFit is not
here: it is made for a few documents a class. Writes `results/instead/NAME-SEED.json`.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from common import RESULTS, SETS, drawn, parser, quiet, write
from full_size import documents
from rivals import FrozenEncoder, OpenVino, StaticVectors
from tersely import Classifier
from tersely.bench import Contender, PackedContender, bench
from tersely.bench.recipes import Sources, make_contenders
from tersely.certificates import different
from tersely.modeling.cascading import at_limit
from tersely.search.after_training import cascade_after, first_verdict
from tersely.text import Documents
from tersely.training.fit import Material

FORMAT = 1
FOLDER = RESULTS / "instead"
PROOFS, JUDGES = 5000, 1100  # documents at most
LIMITS = {"bbc": 0.02, "sst2": 0.02}  # of the net loss; they have too few documents to prove 1 %
STOCK = ("pipeline", "sorted", "onnx", "onnx-int8", "tfidf")
FITTED = ("rivals:StaticVectors", "rivals:FrozenEncoder")
THEIRS = ("float32", "int8")  # of OpenVINO
LENGTH = 256
CALIBRATION = 300
"""Texts for OpenVINO's quantiser, its own default."""

log = logging.getLogger("instead")


def parts(data: Path, name: str) -> tuple[Documents, Documents, Documents, Documents]:
    """Return the documents that train, that choose, that prove, and that judge."""
    train, choose, test = (documents(data, name, s) for s in ("train", "validation", "test"))
    order = np.random.default_rng(1).permutation(len(test)).tolist()
    half = len(test) // 2
    prove, judge = test.select(order[:half][:PROOFS]), test.select(order[half:][:JUDGES])
    known = [*train.contents, *choose.contents, *judge.contents]
    return train, choose, prove.select(different(prove.contents, without=known)), judge


def finished(dense: Classifier, limit: float, *given: Documents) -> tuple[Classifier, list[str]]:
    """Return what a training of the dense model would have ended with, and what it would say."""
    train, choose, prove = given
    lines: list[str] = []
    material = Material(train, choose, dense.label_space, proof=prove)
    encoded, _ = material.encoded(dense)
    linear = first_verdict(dense, None, material, encoded, limit, lines.append)
    model, _ = cascade_after(dense, linear.stage, material, limit, True, lines.append)
    return dense.with_model(model), lines


def contenders(
    args: argparse.Namespace, ours: Classifier, dense: Path, train: Documents
) -> list[Contender]:
    """Return theirs, the encoder alone, all read in full, and the cascade."""
    StaticVectors.encoder = FrozenEncoder.encoder = args.encoder
    loading = {"device": "cpu", "max_length": LENGTH}
    with TemporaryDirectory() as folder:
        sources = Sources(ours.label_space, Path(folder), str(dense), train, loading)
        made, skipped = make_contenders([*STOCK, *FITTED], sources)
    if skipped:
        raise SystemExit("; ".join(skipped.values()))
    some = drawn(train, CALIBRATION).texts
    made += [OpenVino(dense, kind, some, max_length=LENGTH) for kind in THEIRS]
    made.append(PackedContender(ours.alone(), "dense, packed"))
    whole = ours.with_model(at_limit(ours.torch_model(), 0))
    return [*made, PackedContender(whole, "tersely, all read"), PackedContender(ours, "tersely")]


def main() -> None:
    """Compare, a set after the other."""
    options = parser(__doc__, None, "data", "encoder", "models", rounds=5)
    options.add_argument("--only", nargs="*", default=[*SETS, "sst2", "arxiv", "imdb"])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--timed", type=int, default=256)
    options.add_argument("--results", type=Path, default=FOLDER)
    args = options.parse_args()
    quiet()
    for name in args.only:
        train, choose, prove, judge = parts(args.data, name)
        dense = args.models / f"{name}-start-{args.seed}"
        classifier = Classifier.from_pretrained(dense)
        limit = LIMITS.get(name, 0.01)
        ours, lines = finished(classifier, limit, train, choose, prove)
        made = contenders(args, ours, dense, train)
        labels = ours.label_space.encode(judge.labels)
        counts = {"timed": args.timed, "rounds": args.rounds, "latency_documents": 32}
        report = bench(made, judge.texts, labels, baseline="dense, packed", memory=False, **counts)
        told = ours.certificates
        record = {"format": FORMAT, "data": name, "seed": args.seed, "max_length": LENGTH}
        record |= {"train_documents": len(train), "test_documents": len(judge)}
        record |= {"max_loss": limit, "lines": lines, "certificates": told and told.to_dict()}
        write(args.results / f"{name}-{args.seed}.json", record | report.to_dict())
        log.info("%s: %s", name, "; ".join([*lines, *report.verdict()]))


if __name__ == "__main__":
    main()
