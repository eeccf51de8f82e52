"""SetFit on the documents of small_data.py: what one would pick instead of `tersely train` there.

    pip install setfit                                        # 1.2 fits beside our own pins
    python benchmarks/setfit_small.py --data $DATA --encoder DIRECTORY [--only r8] [--counts 300]

Same encoder, same documents, 256 tokens, SetFit's own defaults except for the steps. Its defaults
go through every pair of documents, for 300 of them some twenty times the work of `tersely train`,
for 1,000 170 times. So it stops where as many documents have gone through training as in the cell
of small_data.py, which has to be there; `--whole` trains to the end. One JSON a cell in
`results/setfit/`; a cell that is there is skipped, a folder with another format refused.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

import small_data
from common import RESULTS, SETS, parser, quiet, versions, write
from tersely.text import Documents
from tersely.text.metrics import bootstrap

FORMAT = 1
FOLDER = RESULTS / "setfit"
BATCH = 16
"""Pairs in a step, SetFit's default."""

log = logging.getLogger("setfit_small")


def whole_steps(labels: list[str]) -> int:
    """Return the steps of SetFit's defaults: all pairs, as many of one class as of two."""
    same = sum(count * (count + 1) // 2 for count in Counter(labels).values())
    pairs = len(labels) * (len(labels) + 1) // 2
    return -(-2 * max(same, pairs - same) // BATCH)


def train(encoder: str, documents: Documents, steps: int, seed: int) -> Any:
    """Return SetFit's model, trained with its defaults for so many steps."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(encoder, device="cpu")
    model.model_body.max_seq_length = small_data.LENGTH
    rows = Dataset.from_dict({"text": documents.texts, "label": documents.labels})
    with TemporaryDirectory() as folder:
        settings = {"output_dir": folder, "save_strategy": "no", "report_to": "none"}
        settings |= {"max_steps": steps, "seed": seed, "show_progress_bar": False}
        Trainer(model, TrainingArguments(**settings), train_dataset=rows).train()
    return model


def run(args: Any, name: str, count: int, seed: int) -> dict[str, Any]:
    """Train and judge a cell."""
    ours = json.loads((small_data.FOLDER / f"{name}-{count}-{seed}.json").read_text())
    documents, test = small_data.parts(args.data, name, count, seed)
    whole = whole_steps(documents.labels)
    steps = min(whole, round(ours["epochs"] * len(documents) / (2 * BATCH)))
    steps = whole if args.whole else steps
    load = os.getloadavg()[0]
    started, computed = time.perf_counter(), time.process_time()
    model = train(args.encoder, documents, steps, seed)
    trained, computed = time.perf_counter(), time.process_time() - computed
    said = np.array(model.predict(test.texts, show_progress_bar=False))
    predicted = time.perf_counter()
    wanted = np.array(test.labels)
    right = (said == wanted).astype(float)
    return {
        "format": FORMAT,
        "data": name,
        "count": count,
        "seed": seed,
        "test_documents": len(test),
        "settings": {"batch_pairs": BATCH, "steps": steps, "whole": whole},
        "accuracy": float(right.mean()),
        "interval": bootstrap(right, np.mean, draws=1000),
        "macro_f1": float(f1_score(wanted, said, average="macro", zero_division=0)),
        "never_predicted": len(set(wanted) - set(said)),
        "seconds": trained - started,
        "processor_seconds": computed,
        "seconds_of_tersely": ours["seconds"],
        "documents_per_second": len(test) / (predicted - trained),
        "load": {"before": load, "after": os.getloadavg()[0], "cores": os.cpu_count()},
        "versions": versions()
        | {each: version(each) for each in ("setfit", "sentence-transformers")},
    }


def main() -> None:
    """Go through the cells that small_data.py has, small ones first."""
    options = parser(__doc__, None, "data", "encoder")
    options.add_argument("--only", nargs="*", default=["sst2", *SETS])
    options.add_argument("--counts", type=int, nargs="*", default=[300, 1000])
    options.add_argument("--seeds", type=int, nargs="*", default=[0])
    options.add_argument("--whole", action="store_true")
    options.add_argument("--results", type=Path, default=FOLDER)
    args = options.parse_args()
    quiet()
    for path in args.results.glob("*.json"):
        if json.loads(path.read_text()).get("format") != FORMAT:
            raise SystemExit(f"{path.name} is of another format; move it away")
    cells = [(n, count, seed) for seed in args.seeds for count in args.counts for n in args.only]
    for name, count, seed in cells:
        stem = f"{name}-{count}-{seed}"
        path = args.results / f"{stem}{'-whole' * args.whole}.json"
        if not (small_data.FOLDER / f"{stem}.json").is_file():
            log.info("%s: small_data.py has no such cell yet", stem)
        elif not path.is_file():
            record = run(args, name, count, seed)
            write(path, record)
            log.info("%s: %.3f, macro F1 %.3f", path.stem, record["accuracy"], record["macro_f1"])


if __name__ == "__main__":
    main()
