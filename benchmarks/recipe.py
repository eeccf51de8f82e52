"""Search for settings that train well on little data; one JSON file a trial, resumable.

    python benchmarks/recipe.py --data $DATA --encoder DIRECTORY [--hours 3] [--sizes 300 1000]
    python benchmarks/recipe.py table [256]

Trial 0 is what tersely did until 0.1, trial 1 the rule of `tersely.training.recipe`, the others are
drawn at random, the same ones for every data set of a size, so that settings are compared over data
sets. Training documents are a stratified draw; the validation documents are halved: the best epoch
and the best settings are chosen on one half, compared on the other. Never on test documents. Texts
are cut at 64 tokens, so that many trials fit in an hour; `--length 256` is for the last comparison.
A linear model on words stands beside each cell.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from common import RESULTS, parser, quiet, versions, write
from tersely import TrainingSettings
from tersely.modeling import from_encoder
from tersely.modeling.inference import run_model
from tersely.modeling.loading import load_tokenizer
from tersely.text import LabelSpace, read_documents
from tersely.text.encoding import EncodedDocuments, encode
from tersely.text.metrics import evaluate_logits
from tersely.training.recipe import VERSION, recipe
from tersely.training.run import train_model
from tersely.training.trainer import TrainingDocuments

SETS = ("r8", "20ng", "arxiv", "sst2", "bbc")
SIZES = (300, 1000, 3000)
EPOCHS = {300: (8, 30), 1000: (4, 15), 3000: (2, 8)}
VALIDATION = 600
FORMAT = 1
FOLDER = RESULTS / "recipe"

log = logging.getLogger("recipe")


def settings_of(trial: int, size: int, width: int, labels: np.ndarray) -> dict[str, Any]:
    """Return what a trial trains with."""
    if trial == 0:
        before = {"epochs": 3, "learning_rate": 1e-4, "batch_documents": 10_000, "dropout": 0.1}
        return before | {"head_factor": 1.0, "layer_decay": 1.0, "class_weights": "none"}
    if trial == 1:
        return recipe(size, width, labels) | {"version": VERSION}
    chance = np.random.default_rng([size, trial])

    def between(low: float, high: float) -> float:
        return float(np.exp(chance.uniform(np.log(low), np.log(high))))

    return {
        "epochs": round(between(*EPOCHS[size])),
        "learning_rate": float(f"{between(1e-4, 8e-4):.2g}"),
        "batch_documents": int(chance.choice([8, 16, 32])),
        "head_factor": float(chance.choice([1, 3, 10])),
        "layer_decay": float(chance.choice([1.0, 0.9, 0.8])),
        "dropout": float(chance.choice([0.0, 0.1])),
        "class_weights": str(chance.choice(["none", "sqrt", "balanced"])),
        "weight_decay": float(chance.choice([0.01, 0.1])),
        "warmup": float(chance.choice([0.05, 0.1, 0.2])),
    }


class Cell:
    """Documents of one data set and size, encoded once."""

    def __init__(self, args: argparse.Namespace, name: str, size: int) -> None:
        from sklearn.model_selection import train_test_split

        self.name, self.size, self.encoder = name, size, args.encoder
        parts = {}
        for split, count in (("train", size), ("validation", VALIDATION)):
            documents = read_documents(args.data / name / f"{split}.parquet", labels="required")
            if count < len(documents):
                rows, _ = train_test_split(
                    range(len(documents)),
                    train_size=count,
                    stratify=documents.labels,
                    random_state=0,
                )
                documents = documents.select(rows)
            parts[split] = documents
        self.space = LabelSpace.infer(parts["train"].labels)
        tokenizer = load_tokenizer(args.encoder, {})
        half = np.random.default_rng(0).permutation(len(parts["validation"]))
        self.texts = {
            "train": parts["train"],
            "choose": parts["validation"].select(half[::2].tolist()),
            "compare": parts["validation"].select(half[1::2].tolist()),
        }
        self.labels = {
            part: self.space.encode(documents.labels) for part, documents in self.texts.items()
        }
        self.encoded: dict[str, EncodedDocuments] = {
            part: encode(tokenizer, documents.texts, max_length=args.length)
            for part, documents in self.texts.items()
        }
        self.length = args.length

    def documents(self, part: str) -> TrainingDocuments:
        """Return a part as training takes it."""
        return TrainingDocuments(self.encoded[part], self.labels[part])

    def scores(self, logits: np.ndarray, part: str) -> dict[str, Any]:
        """Return accuracy, macro F1, loss and how many classes are predicted."""
        labels = self.labels[part]
        chances = torch.from_numpy(logits).log_softmax(1).numpy()
        found = evaluate_logits(logits, labels)
        return {
            "accuracy": found["accuracy"],
            "macro_f1": found["macro_f1"],
            "loss": float(-chances[np.arange(len(labels)), labels].mean()),
            "predicted": len(set(logits.argmax(1).tolist())),
            "classes": len(set(labels.tolist())),
        }

    def linear(self) -> dict[str, Any]:
        """Return the scores of a balanced LinearSVC on words and pairs of words."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.svm import LinearSVC

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        rows = words.fit_transform(self.texts["train"].texts)
        model = LinearSVC(class_weight="balanced", random_state=0).fit(rows, self.labels["train"])
        margins = model.decision_function(words.transform(self.texts["compare"].texts))
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], 1)
        return self.scores(margins.astype(np.float32), "compare")


class _Compare(TrainerCallback):
    """Scores the half that chooses nothing, where an epoch is the best so far or the last."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.seconds = cell, 0.0
        self.best: dict[str, float] = {}
        self.epochs: list[dict[str, Any]] = []

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the metrics of the half that chooses."""
        metrics = kwargs["metrics"]
        signs = {"loss": -1, "accuracy": 1, "macro_f1": 1}
        now = {name: sign * metrics[f"eval_{name}"] for name, sign in signs.items()}
        better = [name for name in now if now[name] > self.best.get(name, -np.inf)]
        self.best |= {name: now[name] for name in better}
        if better or state.global_step >= state.max_steps:
            started = time.perf_counter()
            logits = run_model(kwargs["model"], self.cell.encoded["compare"], 4096).logits
            kwargs["model"].train()
            chosen = {name: metrics[f"eval_{name}"] for name in signs}
            compared = self.cell.scores(logits, "compare")
            epoch = {"epoch": state.epoch, "best": better, "choose": chosen, "compare": compared}
            self.epochs.append(epoch)
            self.seconds += time.perf_counter() - started


def run(cell: Cell, trial: int, seed: int) -> dict[str, Any]:
    """Train and score one trial."""
    torch.manual_seed(seed)
    model = from_encoder(
        cell.encoder,
        plan="dense",
        id2label=dict(enumerate(cell.space.names)),
        problem_type=cell.space.problem_type,
        max_length=cell.length,
    )
    drawn = settings_of(trial, cell.size, model.backbone.width, cell.labels["train"])
    told = {name: value for name, value in drawn.items() if name != "version"}
    settings = TrainingSettings(seed=seed, save_minutes=1000, **told)
    compare = _Compare(cell)
    record = train_model(
        model,
        cell.documents("train"),
        cell.documents("choose"),
        settings,
        callbacks=[compare],
    )
    return {
        "format": FORMAT,
        "data": cell.name,
        "size": cell.size,
        "trial": trial,
        "seed": seed,
        "length": cell.length,
        "settings": drawn,
        "steps": record["steps"],
        "seconds": record["seconds"],
        "epochs": compare.epochs,
        "linear": cell.linear(),
        "versions": versions(),
    }


# ---- the table ---------------------------------------------------------------------------------


def picked(record: dict[str, Any], by: str) -> dict[str, Any]:
    """Return the epoch that a criterion keeps, `last` among them."""
    best = [epoch for epoch in record["epochs"] if by == "last" or by in epoch["best"]]
    return best[-1]


def table(folder: Path, length: int) -> None:
    """Print, for each size, the trials in the order of their mean score on the half that chooses.

    A score is the mean of accuracy and macro F1, in points, over the data sets.
    """
    cells: dict[int, dict[int, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        if record["format"] == FORMAT and record["length"] == length:
            cells[record["size"]][record["trial"]][record["data"]] = record
    for size, trials in sorted(cells.items()):
        full = {t: rows for t, rows in trials.items() if set(rows) >= set(trials[0])}
        print(f"\n{size} documents, {length} tokens, {', '.join(trials[0])}")
        lines = []
        for trial, rows in full.items():
            scores = {
                by: tuple(
                    100 * np.mean([picked(r, by)[half][m] for r in rows.values()])
                    for half in ("choose", "compare")
                    for m in ("accuracy", "macro_f1")
                )
                for by in ("loss", "accuracy", "macro_f1", "last")
            }
            lines.append((sum(scores["loss"][:2]) / 2, trial, scores, next(iter(rows.values()))))
        for chosen, trial, scores, row in sorted(lines, key=lambda line: -line[0]):
            compared = "  ".join(f"{by} {s[2]:.1f} {s[3]:.1f}" for by, s in scores.items())
            told = ", ".join(f"{name} {value}" for name, value in row["settings"].items())
            print(f"{trial:3} choose {chosen:.1f} | compare, best by: {compared} | {told}")
        linear = [row["linear"] for row in trials[0].values()]
        means = [100 * np.mean([row[m] for row in linear]) for m in ("accuracy", "macro_f1")]
        print(f"    linear on words: {means[0]:.1f} {means[1]:.1f}")


def main() -> None:
    """Go through the trials, the smallest sizes first, until the hours are used."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--results", type=Path, default=FOLDER)
    options.add_argument("--sizes", type=int, nargs="*", default=SIZES, choices=SIZES)
    options.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    options.add_argument("--trials", type=int, nargs="*", default=list(range(12)))
    options.add_argument("--length", type=int, default=64)
    options.add_argument("--hours", type=float, default=3.0, help="of training in all")
    args = options.parse_args()
    quiet()
    spent = sum(json.loads(path.read_text())["seconds"] for path in args.results.glob("*.json"))
    kept: dict[tuple[str, int], Cell] = {}
    for trial in args.trials:
        for size in args.sizes:
            for name in args.sets:
                path = args.results / f"{name}-{size}-{args.length}-{trial}.json"
                if path.exists() or (name == "bbc" and size > 1557):
                    continue
                if spent > 3600 * args.hours:
                    log.info("%.1f hours are used", spent / 3600)
                    return
                if (name, size) not in kept:
                    kept[name, size] = Cell(args, name, size)
                cell = kept[name, size]
                record = run(cell, trial, seed=0)
                write(path, record)
                spent += record["seconds"]
                kept_epoch = picked(record, "loss")["compare"]
                log.info("%s %.3f in %.0f s", path.stem, kept_epoch["accuracy"], record["seconds"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        table(FOLDER, int(sys.argv[2]) if sys.argv[2:] else 64)
    else:
        main()
