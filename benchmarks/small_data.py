"""`tersely train` on few documents: is what it makes as good as the better of its two parts?

    python benchmarks/small_data.py --data $DATA --encoder DIRECTORY --counts 300 1000 [--only r8]

Trains with the defaults of the command, at 256 tokens, on documents drawn at random, and compares
on up to 2,000 test documents: what it made, its encoder alone, and a balanced LinearSVC on TF-IDF
of words and pairs of words, fitted on the same documents. One JSON a cell in `results/small/`; a
cell that is there is skipped.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from common import RESULTS, SETS, drawn, parser, quiet, versions, write
from tersely import Classifier, TrainingSettings
from tersely.text import Documents, read_documents
from tersely.text.metrics import bootstrap
from tersely.training.recipe import VERSION

FORMAT = 1
FOLDER = RESULTS / "small"
MOST = 2000
LENGTH = 256
PARTS = ("tersely", "encoder", "svc")

log = logging.getLogger("small_data")


def sample(documents: Documents, count: int, seed: int) -> Documents:
    """Return documents drawn at random, at least two of each class, so that each can be learnt."""
    order = np.random.default_rng(seed).permutation(len(documents))
    labels = np.array(documents.labels)[order]
    first = [order[labels == name][:2] for name in np.unique(labels)]
    kept = np.concatenate(first)
    others = order[~np.isin(order, kept)]
    return documents.select(np.concatenate([kept, others])[:count].tolist())


def parts(data: Path, name: str, count: int, seed: int) -> tuple[Documents, Documents]:
    """Return the documents that train and those that judge."""
    train, test = (
        read_documents(data / name / f"{split}.parquet", labels="required")
        for split in ("train", "test")
    )
    return sample(train, count, seed), drawn(test, MOST)


def run(args: Any, name: str, count: int, seed: int) -> dict[str, Any]:
    """Train and judge a cell."""
    train, test = parts(args.data, name, count, seed)
    started = time.perf_counter()
    ours = Classifier(args.encoder, max_length=LENGTH)
    ours.fit(train, settings=TrainingSettings(seed=seed), tell=log.info)
    seconds = time.perf_counter() - started
    encoder = ours.alone()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    svc = make_pipeline(words, LinearSVC(class_weight="balanced")).fit(train.texts, train.labels)
    wanted = np.array(test.labels)
    said = {
        "tersely": np.array(ours.decide(ours.logits(test.texts))),
        "encoder": np.array(encoder.decide(encoder.logits(test.texts))),
        "svc": svc.predict(test.texts),
    }
    right = {part: said[part] == wanted for part in PARTS}
    better = max(PARTS[1:], key=lambda part: right[part].mean())
    gains = right["tersely"].astype(float) - right[better]
    found = {
        part: {
            "accuracy": float(right[part].mean()),
            "macro_f1": float(f1_score(wanted, said[part], average="macro", zero_division=0)),
            "never_predicted": len(set(wanted) - set(said[part])),
        }
        for part in PARTS
    }
    return {
        "format": FORMAT,
        "recipe": VERSION,
        "data": name,
        "count": count,
        "seed": seed,
        "test_documents": len(test),
        "results": found,
        "better": better,
        "over_better": float(gains.mean()),
        "interval": bootstrap(gains, np.mean, draws=1000),
        "lines": ours.training["lines"],
        "epochs": ours.training["settings"]["epochs"],
        "seconds": seconds,
        "versions": versions(),
    }


def main() -> None:
    """Go through the cells, small ones first, and print what they show."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--only", nargs="*", default=["sst2", *SETS, "arxiv", "imdb"])
    options.add_argument("--counts", type=int, nargs="*", default=[300, 1000, 3000])
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options.add_argument("--results", type=Path, default=FOLDER)
    args = options.parse_args()
    quiet()
    cells = [
        (name, count, seed)
        for seed in args.seeds
        for count in args.counts
        for name in args.only
        if count < 3000 or name != "bbc"  # which has 1,557
    ]
    for name, count, seed in cells:
        path = args.results / f"{name}-{count}-{seed}.json"
        if not path.is_file():
            record = run(args, name, count, seed)
            write(path, record)
            log.info("%s: %s", path.stem, record["results"])


if __name__ == "__main__":
    main()
