"""Train methods at targets, every one from the same dense model; one JSON file a run, resumable.

    python benchmarks/train_focus.py --data $DATA --encoder DIRECTORY --methods dense --keep dense/
    python benchmarks/compare_methods.py --data $DATA --dense dense/ [--only bbc] [--seeds 0 1]

Every run of a data set and a seed starts from the same dense model, which is the teacher too, and
trains one epoch more under its plan, on the fixed parts of make_parts.py at 256 tokens; `dense` is
that model with one epoch more and no plan. A target is MACs over the dense model's. A run
whose JSON is there is skipped; a method that cannot reach a target leaves a JSON that says so.
`--time` then measures the speed of the trained models that `--keep` kept, taking turns with the
dense one, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from common import RESULTS, SETS, drawn, fixed_part, parser, quiet, versions, write
from method_tables import METHODS
from tersely import Classifier, TrainingSettings
from tersely.bench import PackedContender, take_turns
from tersely.errors import PlanError
from tersely.reduction import find_preset
from tersely.text.metrics import evaluate_logits
from train_focus import BATCH_TOKENS, LENGTH

LEARNING_RATE = 1e-4
TARGETS = (0.5, 0.25)
# Below this target, methods that act at one block do so at the first: by default they act at the
# second of six, and what comes before it takes 0.23 of the MACs already.
EARLY = 0.3

log = logging.getLogger("compare_methods")


class Starting:
    """The dense model of a data set and a seed, with what every run takes from it.

    Args:
        args: the command line.
        name: the data set.
        seed: of the dense model and of the runs.
    """

    def __init__(self, args: argparse.Namespace, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.folder = args.dense / f"{name}-dense-{seed}"
        self.train, self.test = (fixed_part(args.data, name, part) for part in ("train", "test"))
        self.classifier = Classifier.from_pretrained(self.folder)
        encoded = self.classifier.encode(self.test.texts)
        self.labels = self.classifier.label_space.encode(self.test.labels)
        forward = self.classifier.forward(encoded)
        self.macs = forward.macs
        self.metrics = evaluate_logits(forward.logits, self.labels)
        self.teacher = self.classifier.logits(self.train.texts)

    def fit(self, classifier: Classifier, settings: TrainingSettings, work: Path) -> None:
        """One epoch more under the classifier's plan."""
        classifier.fit(
            self.train,
            validation=0,
            cascade="off",
            settings=settings,
            teacher=self.teacher,
            out=work,
            resume=True,
        )


def run(args: argparse.Namespace, start: Starting, key: str, target: float | None) -> dict:
    """Train and evaluate one cell."""
    method, options = METHODS.get(key, (key, {}))
    if target is not None and target < EARLY and "at" in find_preset(method).options:
        options = {"at": 0} | options
    settings = TrainingSettings(
        epochs=1, learning_rate=LEARNING_RATE, batch_tokens=BATCH_TOKENS, seed=start.seed
    )
    classifier = Classifier(
        start.folder,
        method=method,
        method_options=options,
        target_flops=target,
        max_length=LENGTH,
    )
    work = args.work / cell_name(start.name, key, target, start.seed)
    start.fit(classifier, settings, work)
    forward = classifier.forward(classifier.encode(start.test.texts))
    if args.keep is not None:
        classifier.save(args.keep / work.name)
    shutil.rmtree(work, ignore_errors=True)
    record = classifier.training
    return {
        "metrics": evaluate_logits(forward.logits, start.labels),
        "macs_ratio": forward.macs / start.macs,
        "steps": record["steps"],
        "seconds_training": record["seconds"],
        "resumed": record["resumed"],
        "settings": record["settings"],
        "plan": classifier.plan.to_dict(),
    }


def cell_name(name: str, key: str, target: float | None, seed: int) -> str:
    """The name of a cell's files."""
    return f"{name}-{key}-{'all' if target is None else f'{target:g}'}-{seed}"


def cells(args: argparse.Namespace) -> list[tuple[str, float | None]]:
    """What to run for a data set and a seed: dense, then target by target."""
    chosen: list[tuple[str, float | None]] = [("dense", None)]
    return chosen + [(key, target) for target in args.targets for key in args.methods]


def train_all(args: argparse.Namespace) -> None:
    """Go through the cells, seed by seed and data set by data set."""
    for seed, name in itertools.product(args.seeds, args.only):
        start = None
        for key, target in cells(args):
            path = args.results / f"{cell_name(name, key, target, seed)}.json"
            if path.exists():
                continue
            start = start or Starting(args, name, seed)
            about = {
                "data": name,
                "method": key,
                "target": target,
                "seed": seed,
                "max_length": LENGTH,
                "test_documents": len(start.labels),
                "dense_metrics": start.metrics,
                "versions": versions(),
            }
            try:
                result = about | run(args, start, key, target)
            except PlanError as error:
                result = about | {"unreachable": str(error)}
            write(path, result)
            log.info("%s %s", path.stem, result.get("metrics", result.get("unreachable")))


def time_all(args: argparse.Namespace) -> None:
    """Measure the kept models of each data set, in turns with the dense one; one JSON a data set.

    Every model runs the same documents once a round, a random draw of the test part (which is in
    the order of its classes); the ratio of a round is dense over the model.
    """
    seed = args.seeds[0]
    for name in args.only:
        dense = Classifier.from_pretrained(args.dense / f"{name}-dense-{seed}")
        test = fixed_part(args.data, name, "test")
        texts = drawn(test, args.documents, in_order=True).texts
        models = {"dense": dense}
        for key, target in cells(args)[1:]:
            folder = args.keep / cell_name(name, key, target, seed)
            if folder.is_dir():
                models[folder.name] = Classifier.from_pretrained(folder)
        contenders = [PackedContender(classifier, key) for key, classifier in models.items()]
        for contender in contenders:
            contender.prepare(texts)
        timings = take_turns(contenders, args.rounds)
        seconds = {timing.name: timing.seconds for timing in timings}
        record = {
            "data": name,
            "documents": len(texts),
            "tokens": dense.encode(texts).tokens,
            "rounds": args.rounds,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "speedup": {key: _ratios(seconds["dense"], own) for key, own in seconds.items()},
        }
        write(args.results / f"speed-{name}.json", record)
        log.info("speed-%s: %d models", name, len(models))


def _ratios(dense: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    ratios = [base / value for base, value in zip(dense, own, strict=True)]
    low, high = np.quantile(ratios, [0.25, 0.75])
    return {"median": statistics.median(ratios), "low": float(low), "high": float(high)}


def main() -> None:
    """Read the command line, and train or measure."""
    options = parser(__doc__, None, "data", rounds=5)
    options.add_argument("--dense", type=Path, required=True, help="folder of the dense models")
    options.add_argument("--work", type=Path, default=Path(".cache/compare_methods"))
    options.add_argument("--keep", type=Path, help="save the trained models here, to be timed")
    options.add_argument("--results", type=Path, default=RESULTS / "methods")
    options.add_argument("--only", nargs="*", default=SETS, choices=SETS)
    options.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    options.add_argument("--targets", nargs="*", type=float, default=TARGETS)
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    options.add_argument("--time", action="store_true", help="measure speed instead of training")
    options.add_argument("--documents", type=int, default=96, help="to measure on")
    args = options.parse_args()
    quiet()
    time_all(args) if args.time else train_all(args)


if __name__ == "__main__":
    main()
