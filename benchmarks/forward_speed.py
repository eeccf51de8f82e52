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

import json
from pathlib import Path

import torch
import transformers
from rich.console import Console

from common import newsgroups, parser, quiet, save_stock, write
from tersely import Classifier, preset
from tersely.bench import PackedContender, StockContender, bench, render
from tersely.modeling import from_encoder

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
    stock = save_stock(encoder, folder / "stock", LABELS)
    found.append(StockContender(stock, name="pipeline", order="arrival"))
    found.append(StockContender(stock, name="sorted", order="sorted"))
    return found


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parser(__doc__, "forward.json", "data", "encoder", rounds=5)
    options.add_argument("--work", type=Path, default=Path(".cache/forward_speed"))
    options.add_argument("--documents", type=int, default=512)
    args = options.parse_args()
    quiet()
    documents, about = newsgroups(args.data, "test", args.documents)
    who = contenders(args.encoder, args.work)
    report = bench(who, documents.texts, rounds=args.rounds, latency_documents=48)
    Console(width=100).print(render(report))
    write(args.out, json.loads(report.to_json()) | {"data": about})


if __name__ == "__main__":
    main()
