"""Train Focus on the Core and dense for the same number of steps; one JSON file a run, resumable.

    python benchmarks/train_focus.py --data $DATA --encoder DIRECTORY [--only bbc] [--seeds 0 1]

Every run fine-tunes MiniLM-L6 on a fixed part (see make_parts.py) at 256 tokens for two epochs in
all and keeps the last epoch; under a plan the first three quarters of the steps are dense, as
tersely trains `focus-pfc` by default. They are the same for all plans of a data set and a seed, so
that one run takes them over from another. A run whose JSON is there is skipped; one that was killed
goes on from its newest checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from pathlib import Path

from common import RESULTS, SETS, fixed_part, parser, quiet, versions, write
from tersely import Classifier, TrainingSettings
from tersely.text.metrics import evaluate_logits

METHODS = ("dense", "focus-pfc", "focus-pf")
LENGTH, EPOCHS = 256, 2
LEARNING_RATE, BATCH_TOKENS = 2e-4, 4096

log = logging.getLogger("train_focus")


def run(args: argparse.Namespace, name: str, method: str, seed: int) -> dict:
    """Train and evaluate one cell of the table."""
    train_set, test_set = (fixed_part(args.data, name, split) for split in ("train", "test"))
    settings = TrainingSettings(
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        batch_tokens=BATCH_TOKENS,
        seed=seed,
        dense_share=0.75,
    )
    classifier = Classifier(args.encoder, method=method, max_length=LENGTH)
    work = args.work / f"{name}-{method}-{seed}"
    shared, dense_stage = args.work / f"{name}-dense-stage-{seed}", work / "checkpoints" / "dense"
    if method != "dense" and shared.is_dir() and not dense_stage.is_dir():
        shutil.copytree(shared, dense_stage)
    classifier.fit(train_set, validation=0, cascade="off", settings=settings, out=work, resume=True)
    if dense_stage.is_dir() and not shared.is_dir():
        shutil.copytree(dense_stage, shared)
    record = classifier.training
    started = time.perf_counter()
    encoded = classifier.encode(test_set.texts)
    forward = classifier.forward(encoded)
    labels = classifier.label_space.encode(test_set.labels)
    metrics = evaluate_logits(forward.logits, labels)
    if args.keep is not None:
        classifier.save(args.keep / f"{name}-{method}-{seed}")
    return {
        "data": name,
        "method": method,
        "seed": seed,
        "metrics": metrics,
        "macs_per_document": forward.macs / len(encoded),
        "test_documents": len(encoded),
        "test_tokens": encoded.tokens,
        "train_documents": len(train_set),
        "tokens_per_epoch": record["tokens_per_epoch"],
        "steps": record["steps"],
        "epochs": EPOCHS,
        "max_length": LENGTH,
        "settings": record["settings"],
        "seconds_training": record["seconds"],
        "resumed": record["resumed"],
        "seconds_evaluating": time.perf_counter() - started,
        "plan": classifier.plan.to_dict(),
        "versions": versions(),
    }


def main() -> None:
    """Go through the table, method by method, the cheapest data set first."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--work", type=Path, default=Path(".cache/train_focus"))
    options.add_argument("--keep", type=Path, help="save the trained models here")
    options.add_argument("--results", type=Path, default=RESULTS / "focus")
    options.add_argument("--only", nargs="*", default=SETS, choices=SETS)
    options.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    args = options.parse_args()
    quiet()
    for seed in args.seeds:
        for method in args.methods:
            for name in args.only:
                target = args.results / f"{name}-{method}-{seed}.json"
                if target.exists():
                    continue
                result = run(args, name, method, seed)
                write(target, result)
                log.info("%s %s", target.stem, result["metrics"])


if __name__ == "__main__":
    main()
