"""Forward speed on 20 Newsgroups: transformers' pipeline, sorted batches, dense packed, Focus.

    python benchmarks/forward_speed.py --data $DATA --encoder DIRECTORY

MiniLM-L6, 512 tokens, float32, forward pass only (tokenising outside the clock), all contenders in
one process with the same threads and allocator (which keeps freed memory, as tersely's commands
do), taking turns. Speed does not depend on what the
weights were trained for, so the heads are new. `pipeline` is what
`pipeline("text-classification", batch_size=32)` computes with truncation at 512 tokens, in arrival
order; `sorted` the same in length-sorted batches.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from rich.console import Console

from tersely import Classifier, preset
from tersely._io import keep_freed_memory
from tersely.bench import PackedContender, StockContender, bench, render
from tersely.errors import TerselyWarning
from tersely.modeling import from_encoder
from tersely.text import read_documents

HERE = Path(__file__).parent
LABELS = 20
PLANS = {
    "dense": preset("dense"),
    "focus-pfc": preset("focus-pfc"),
    "focus-pfc shared": preset("focus-pfc", heads="mean", reading="complement"),
    "focus-c": preset("focus-c"),
}


def contenders(encoder: str, folder: Path) -> list:
    """The models of the comparison, saved so that memory can be measured in fresh processes."""
    found = []
    torch.manual_seed(0)
    for name, plan in PLANS.items():
        directory = folder / name.replace(" ", "-")
        if not directory.exists():
            model = from_encoder(encoder, plan=plan, num_labels=LABELS)
            model.save_pretrained(directory)
            transformers.AutoTokenizer.from_pretrained(encoder).save_pretrained(directory)
        classifier = Classifier.from_pretrained(directory)
        found.append(PackedContender(classifier, name, source={"source": str(directory)}))
    stock = folder / "stock"
    if not stock.exists():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=LABELS
        )
        model.save_pretrained(stock)
        transformers.AutoTokenizer.from_pretrained(encoder).save_pretrained(stock)
    found.append(StockContender(str(stock), name="pipeline", order="arrival"))
    found.append(StockContender(str(stock), name="sorted", order="sorted"))
    return found


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "forward.json")
    parser.add_argument("--work", type=Path, default=Path(".cache/forward_speed"))
    parser.add_argument("--documents", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    warnings.simplefilter("ignore", TerselyWarning)
    transformers.logging.set_verbosity_error()
    documents = read_documents(args.data / "20ng" / "test.parquet")
    rows = np.random.default_rng(0).permutation(len(documents))[: args.documents]
    texts = documents.select(rows.tolist()).texts
    report = bench(
        contenders(args.encoder, args.work), texts, rounds=args.rounds, latency_documents=48
    )
    Console(width=100).print(render(report))
    record = json.loads(report.to_json())
    record["data"] = {"set": "20ng test", "documents": len(texts), "seed": 0, "max_length": 512}
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
